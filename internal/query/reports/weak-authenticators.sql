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
engines: [duckdb]
evidence: [authentication]
---
WITH said AS (
  SELECT
    lower(trim(coalesce(nullif("user".email_addr, ''), nullif("user".name, ''), "user".uid, 'nobody'))) AS who,
    coalesce(nullif(service.name, ''), service.uid, dst_endpoint.svc_name, 'unnamed') AS app,
    nullif(session.uid, '') AS session_uid,
    metadata.product.name AS product,
    "time", activity_id,
    coalesce(list_contains(metadata.labels, 'non-interactive'), false) AS background,
    list_filter(enrichments, x -> x.name = 'auth.phishing_resistant')[1] AS authenticator,
    list_aggregate(list_filter(list_transform(auth_factors, x -> x.factor_type), x -> x IS NOT NULL), 'string_agg', ' + ') AS factors
  FROM authentication
  WHERE status_id = 1
    -- a session may have begun before the days that are asked for
    AND "time" >= CAST($now AS BIGINT) - (CAST($days AS BIGINT) + 30) * 86400000
),
parsed AS (
  SELECT *,
    coalesce(authenticator.value, 'unknown') AS resistant,
    -- Okta writes AUTHENTICATOR:METHOD:ID
    list_filter(
      list_transform(
        CASE WHEN json_valid(authenticator.data)
             THEN [json_extract_string(authenticator.data, '$.method'), json_extract_string(authenticator.data, '$.second')]
             ELSE [] END,
        x -> CASE WHEN x LIKE '%:%:%' THEN split_part(x, ':', 2) ELSE x END),
      x -> x IS NOT NULL AND x NOT IN ('', 'none')) AS methods
  FROM said
),
named AS (
  SELECT * REPLACE (coalesce(nullif(list_aggregate(methods, 'string_agg', ' + '), ''), nullif(factors, ''), 'unnamed') AS methods)
  FROM parsed
),
-- What the session showed last, up to and including this sign-in. Steps on the
-- way (OCSF: Preauth) show it too.
resolved AS (
  SELECT who, app, "time", activity_id, background,
    CASE WHEN resistant <> 'unknown' THEN resistant || ':' || methods
         WHEN session_uid IS NULL THEN NULL
         ELSE max_by(resistant || ':' || methods, CASE WHEN resistant <> 'unknown' THEN "time" END) OVER same_session END AS shown
  FROM named
  WINDOW same_session AS (PARTITION BY product, who, session_uid ORDER BY "time" RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT
  who AS "user",
  app,
  coalesce(substr(shown, strpos(shown, ':') + 1), 'unknown') AS method,
  count(*) AS signins,
  to_timestamp(max("time") / 1000.0) AS last
FROM resolved
WHERE activity_id = 1 AND NOT background
  AND coalesce(shown, '') NOT LIKE 'true:%'
  AND "time" >= CAST($now AS BIGINT) - CAST($days AS BIGINT) * 86400000
GROUP BY 1, 2, 3
ORDER BY (method = 'unknown'), signins DESC, "user", app, method
