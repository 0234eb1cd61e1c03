---
title: Sign-ins without a phishing-resistant authenticator
description: >-
  Interactive, successful sign-ins by user, application and method that a
  phishing page could have taken part in. A sign-in that says nothing of its
  method (a claim in the token, "previously satisfied") counts as the last
  explicit method of the same session; if there is none it is listed apart, with
  the method "unknown".
params:
  days: {type: integer, default: "30", description: How many days back to look.}
evidence: [authentication]
---
WITH signins AS (
  SELECT
    lower(trim(coalesce("user".email_addr, "user".name, "user".uid))) AS who,
    coalesce(service.name, dst_endpoint.svc_name) AS app,
    coalesce(session.uid, '') AS session_uid,
    metadata.product.name AS product,
    time_dt,
    list_filter(enrichments, x -> x.name = 'auth.phishing_resistant')[1] AS authenticator
  FROM authentication
  WHERE activity_id = 1 AND status_id = 1
    AND NOT list_contains(coalesce(metadata.labels, []), 'non-interactive')
),
said AS (
  SELECT *, authenticator.value AS resistant, json_extract_string(authenticator.data, '$.method') AS method
  FROM signins
  WHERE authenticator IS NOT NULL
),
-- What the session showed last, up to and including this sign-in.
resolved AS (
  SELECT who, app, time_dt,
    CASE WHEN resistant <> 'unknown' OR session_uid = '' THEN resistant
         ELSE coalesce(last_value(nullif(resistant, 'unknown') IGNORE NULLS) OVER same_session, 'unknown') END AS resistant,
    CASE WHEN resistant <> 'unknown' OR session_uid = '' THEN method
         ELSE coalesce(last_value(CASE WHEN resistant <> 'unknown' THEN method END IGNORE NULLS) OVER same_session, 'unknown') END AS method
  FROM said
  WINDOW same_session AS (PARTITION BY product, who, session_uid ORDER BY time_dt ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT
  who AS "user", app,
  CASE WHEN resistant = 'unknown' THEN 'unknown' ELSE coalesce(nullif(method, ''), 'unnamed') END AS method,
  count(*) AS signins,
  max(time_dt) AS last
FROM resolved
WHERE resistant <> 'true' AND time_dt >= now() - to_days(CAST($days AS INTEGER))
GROUP BY ALL
ORDER BY method = 'unknown', signins DESC, "user", app
