-- Who holds a key, and who waits for it.
--
-- _most  how many waiters to show
-- Reply  [server, now, holders, number of waiters, waiters], with
--        {id, token, shared, age (ms), remaining (ms)} for each holder, in the order of their tokens, and
--        {id, shared, age (ms)} for the first waiters, in their order
CREATE FUNCTION "nestjs_lock".inspect(_namespace text, _key text, _most integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _holders jsonb;
  _count bigint;
  _waiters jsonb;
BEGIN
  SELECT coalesce(jsonb_agg(jsonb_build_object(
      'id', id, 'token', token, 'shared', shared,
      'age', greatest(0, "nestjs_lock".ms_between(granted, _now)),
      'remaining', "nestjs_lock".ms_between(_now, ends)) ORDER BY token), '[]')
    INTO _holders FROM "nestjs_lock".leases
    WHERE namespace = _namespace AND key = _key AND ends > _now;
  SELECT count(*) INTO _count FROM "nestjs_lock".waiters
    WHERE namespace = _namespace AND key = _key AND dies > _now;
  SELECT coalesce(jsonb_agg(jsonb_build_object(
      'id', id, 'shared', shared,
      'age', greatest(0, ("nestjs_lock".micros(_now) - ticket) / 1000)) ORDER BY ticket), '[]')
    INTO _waiters FROM (
      SELECT id, shared, ticket FROM "nestjs_lock".waiters
        WHERE namespace = _namespace AND key = _key AND dies > _now ORDER BY ticket LIMIT _most
    ) AS first;
  RETURN "nestjs_lock".reply(_now, jsonb_build_array(_holders, _count, _waiters));
END
$$;

-- A page of the keys that are held, in their order.
--
-- _after    the last one of the page before, '' for the first
-- _pattern  as LIKE takes it
-- Reply     [server, now, …]
CREATE FUNCTION "nestjs_lock".list(_namespace text, _after text, _pattern text, _most integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz := clock_timestamp();
BEGIN
  RETURN "nestjs_lock".reply(_now, to_jsonb(ARRAY(
    SELECT DISTINCT key FROM "nestjs_lock".leases
      WHERE namespace = _namespace AND key > _after AND key LIKE _pattern AND ends > _now
      ORDER BY key LIMIT _most
  )));
END
$$;

-- Asks the holders of a key to give it back. They are told at once, and by their next renewal.
--
-- _grace  how long they have to stop (ms)
-- Reply   [server, now, how many there are]
CREATE FUNCTION "nestjs_lock".revoke(_namespace text, _key text, _grace double precision, _reason text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz := "nestjs_lock".lock_keys(_namespace, ARRAY[_key], 0);
  _until timestamptz := _now + "nestjs_lock".span(_grace);
  _count integer := 0;
  _lease record;
BEGIN
  FOR _lease IN
    UPDATE "nestjs_lock".leases SET revoked_until = _until, revoked_for = _reason
      WHERE namespace = _namespace AND key = _key AND ends > _now RETURNING id, ends
  LOOP
    _count := _count + 1;
    -- A message takes 8000 bytes at most.
    PERFORM "nestjs_lock".tell(_lease.id, jsonb_build_array('revoked', _lease.id)
      || "nestjs_lock".revocation(_now, _until, left(_reason, 1000))
      || to_jsonb("nestjs_lock".ms_between(_now, _lease.ends)));
  END LOOP;
  RETURN "nestjs_lock".reply(_now, jsonb_build_array(_count));
END
$$;

-- Ends all leases of a key, tells those who had them, and grants it to those who are next.
--
-- Reply  [server, now, how many there were]
CREATE FUNCTION "nestjs_lock".force_release(_namespace text, _key text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz := "nestjs_lock".lock_keys(_namespace, ARRAY[_key], 0);
  _count integer := 0;
  _lease record;
BEGIN
  FOR _lease IN SELECT id, token FROM "nestjs_lock".leases
    WHERE namespace = _namespace AND key = _key AND ends > _now
  LOOP
    _count := _count + 1;
    PERFORM "nestjs_lock".end_lease(_namespace, _key, _lease.id);
    PERFORM "nestjs_lock".tell(_lease.id, jsonb_build_array('lost', _lease.id, _lease.token));
  END LOOP;
  PERFORM "nestjs_lock".hand_off(_namespace, _key, _now, NULL);
  RETURN "nestjs_lock".reply(_now, jsonb_build_array(_count));
END
$$;
