---
title: Accounts nobody has used
description: >-
  Accounts of the user lists whose last activity is older than the given days.
  Activity is the later of the directory's own last sign-in and any event by
  that user, joined by e-mail address in lower case; a sign-in that failed may
  be anybody's and does not count. Service accounts, disabled accounts and
  accounts never used are apart, by kind. "not enough history" says that neither
  the directory nor the lake looks back far enough.
params:
  days: {type: integer, default: "90", description: How many days without activity make an account dormant.}
engines: [duckdb]
evidence: [user_activity]
---
WITH directory AS (
  SELECT
    lower(trim(coalesce(nullif("user".email_addr, ''), nullif("user".name, ''), "user".uid))) AS who,
    max("time") AS as_of,
    max_by("user", "time") AS u,
    -- where OCSF 1.1.0, which has no labels, keeps them
    max_by(struct_pack(labels := unmapped['user.account.labels']), "time").labels AS kept
  FROM user_inventory
  WHERE coalesce(nullif("user".email_addr, ''), nullif("user".name, ''), "user".uid) IS NOT NULL
  GROUP BY 1
),
activity AS (SELECT email AS who, max("time") AS last_event, min("time") AS first_event FROM user_activity GROUP BY 1),
history AS (SELECT min(first_event) AS since FROM activity),
known AS (
  SELECT
    d.who, d.as_of, h.since, a.last_event,
    CASE WHEN d.u.ldap_person.last_login_time > 0 THEN d.u.ldap_person.last_login_time END AS last_signin,
    CASE WHEN d.u.ldap_person.created_time > 0 THEN d.u.ldap_person.created_time END AS created,
    coalesce(list_contains(d.u.account.labels, 'disabled'), false) OR coalesce(contains(d.kept, '"disabled"'), false) AS is_disabled,
    coalesce(lower(d.u.type) LIKE '%service%' OR list_contains(d.u.account.labels, 'service'), false) OR coalesce(contains(d.kept, '"service"'), false) AS is_service,
    CAST($now AS BIGINT) - CAST($days AS BIGINT) * 86400000 AS cutoff
  FROM directory d LEFT JOIN activity a ON a.who = d.who CROSS JOIN history h
),
judged AS (
  SELECT *, nullif(greatest(coalesce(last_signin, 0), coalesce(last_event, 0)), 0) AS last_ms FROM known
)
SELECT
  who AS "user",
  to_timestamp(last_ms / 1000.0) AS last_activity,
  CAST(floor((CAST($now AS BIGINT) - last_ms) / 86400000.0) AS BIGINT) AS days,
  CASE WHEN is_disabled THEN 'disabled'
       WHEN is_service THEN 'service'
       WHEN last_ms IS NULL THEN 'never-used'
       ELSE 'dormant' END AS kind,
  CASE WHEN last_signin IS NULL AND (since IS NULL OR since > cutoff) THEN 'not enough history'
       WHEN as_of < cutoff AND (since IS NULL OR since > cutoff) THEN 'not enough history'
       WHEN last_ms IS NULL THEN 'no sign-in in the directory, no event in the lake'
       WHEN last_event IS NULL OR last_signin >= last_event THEN 'last sign-in of the directory'
       ELSE 'last event in the lake' END AS evidence
FROM judged
WHERE coalesce(last_ms, 0) < cutoff
  -- an account made a week ago has had no time to fall asleep
  AND (last_ms IS NOT NULL OR created IS NULL OR created < cutoff)
ORDER BY CASE kind WHEN 'dormant' THEN 0 WHEN 'never-used' THEN 1 WHEN 'service' THEN 2 ELSE 3 END, last_ms NULLS FIRST, "user"
