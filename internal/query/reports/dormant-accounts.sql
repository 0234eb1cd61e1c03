---
title: Accounts nobody has used
description: >-
  Accounts of the newest user list whose last activity is older than the given
  days. Activity is the later of the directory's own last sign-in and any event
  by that user, joined by e-mail address in lower case. Service accounts,
  disabled accounts and accounts never used are apart, by kind. "not enough
  history" says that neither the directory nor the lake looks back far enough.
params:
  days: {type: integer, default: "90", description: How many days without activity make an account dormant.}
evidence: [user_inventory, authentication, account_change, group_management, api_activity, process_activity, file_activity]
---
WITH directory AS (
  SELECT
    lower(trim(coalesce("user".email_addr, "user".name, "user".uid))) AS who,
    max(time_dt) AS as_of,
    max_by("user", time_dt) AS u
  FROM user_inventory
  GROUP BY 1
),
-- Only what the user did: an attempt that failed may be anybody's.
seen AS (
  SELECT lower(trim("user".email_addr)) AS who, time_dt FROM authentication WHERE status_id = 1 AND activity_id = 1
  UNION ALL SELECT lower(trim(actor.user.email_addr)), time_dt FROM account_change
  UNION ALL SELECT lower(trim(actor.user.email_addr)), time_dt FROM group_management
  UNION ALL SELECT lower(trim(actor.user.email_addr)), time_dt FROM api_activity
  UNION ALL SELECT lower(trim(actor.user.email_addr)), time_dt FROM process_activity
  UNION ALL SELECT lower(trim(actor.user.email_addr)), time_dt FROM file_activity
),
activity AS (SELECT who, max(time_dt) AS last_event FROM seen WHERE who IS NOT NULL GROUP BY who),
history AS (SELECT min(time_dt) AS since FROM seen),
judged AS (
  SELECT
    d.who, d.as_of, h.since, a.last_event,
    CASE WHEN d.u.ldap_person.last_login_time > 0 THEN to_timestamp(d.u.ldap_person.last_login_time / 1000.0) END AS last_signin,
    CASE WHEN d.u.ldap_person.created_time > 0 THEN to_timestamp(d.u.ldap_person.created_time / 1000.0) END AS created,
    list_contains(coalesce(d.u.account.labels, []), 'disabled') AS is_disabled,
    coalesce(d.u.type = 'Service', false) AS is_service,
    now() - to_days(CAST($days AS INTEGER)) AS cutoff
  FROM directory d LEFT JOIN activity a USING (who) CROSS JOIN history h
)
SELECT
  who AS "user",
  greatest(last_signin, last_event) AS last_activity,
  CAST(date_diff('day', greatest(last_signin, last_event), now()) AS BIGINT) AS days,
  CASE WHEN is_disabled THEN 'disabled'
       WHEN is_service THEN 'service'
       WHEN last_signin IS NULL AND last_event IS NULL THEN 'never-used'
       ELSE 'dormant' END AS kind,
  CASE WHEN last_signin IS NULL AND (since IS NULL OR since > cutoff) THEN 'not enough history'
       WHEN as_of < cutoff THEN 'not enough history'
       WHEN last_signin IS NULL AND last_event IS NULL THEN 'no sign-in in the directory, no event in the lake'
       WHEN last_event IS NULL OR last_signin >= last_event THEN 'last sign-in of the directory'
       ELSE 'last event in the lake' END AS evidence
FROM judged
WHERE coalesce(greatest(last_signin, last_event), TIMESTAMPTZ '1970-01-01') < cutoff
  AND (created IS NULL OR created < cutoff OR last_signin IS NOT NULL)
ORDER BY CASE kind WHEN 'dormant' THEN 0 WHEN 'never-used' THEN 1 WHEN 'service' THEN 2 ELSE 3 END, last_activity NULLS FIRST, "user"
