-- Ends leases, each with the grant to those who are next in the same step.
--
-- _leases  [{id, key, keep (ms for which nobody is let in, mostly 0)}, …]
-- Reply    [server, now, …] with for each whether it was (still) the owner's
CREATE FUNCTION "nestjs_lock".release(_namespace text, _leases jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _keys text[];
  _longest integer;
  _now timestamptz;
  _answers jsonb := '[]';
  _one record;
  _owned boolean;
BEGIN
  SELECT array_agg(one ->> 'key'), max((one -> 'keep')::integer) INTO _keys, _longest
    FROM jsonb_array_elements(_leases) AS one;
  _now := "nestjs_lock".lock_keys(_namespace, _keys, _longest);
  FOR _one IN SELECT * FROM jsonb_to_recordset(_leases) AS one(id text, key text, keep integer) LOOP
    PERFORM FROM "nestjs_lock".leases
      WHERE namespace = _namespace AND key = _one.key AND id = _one.id AND NOT kept AND ends > _now;
    _owned := FOUND;
    IF _owned AND _one.keep > 0 THEN
      UPDATE "nestjs_lock".leases
        SET kept = true, ends = _now + "nestjs_lock".span(_one.keep)
        WHERE namespace = _namespace AND key = _one.key AND id = _one.id;
    ELSIF _owned THEN
      PERFORM "nestjs_lock".end_lease(_namespace, _one.key, _one.id);
      PERFORM "nestjs_lock".hand_off(_namespace, _one.key, _now, NULL);
    END IF;
    _answers := _answers || to_jsonb(_owned);
  END LOOP;
  RETURN "nestjs_lock".reply(_now, _answers);
END
$$;

-- Withdraws a request, whatever has become of it: leaves the queue, and if it owns the key, ends the
-- lease. Grants those who were held up by it.
--
-- Reply  [server, now]
CREATE FUNCTION "nestjs_lock".cancel(_namespace text, _key text, _id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz := "nestjs_lock".lock_keys(_namespace, ARRAY[_key], 0);
  _waited boolean;
BEGIN
  DELETE FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _key AND id = _id;
  _waited := FOUND;
  PERFORM FROM "nestjs_lock".leases
    WHERE namespace = _namespace AND key = _key AND id = _id AND NOT kept;
  IF FOUND THEN
    PERFORM "nestjs_lock".end_lease(_namespace, _key, _id);
  END IF;
  IF FOUND OR _waited THEN
    PERFORM "nestjs_lock".hand_off(_namespace, _key, _now, NULL);
  END IF;
  RETURN "nestjs_lock".reply(_now, '[]');
END
$$;

-- Makes a lease that holds a key alone one that reads, under the same token, and grants the readers at the
-- head of the queue.
--
-- Reply  [server, now, whether it was (still) the owner's]
CREATE FUNCTION "nestjs_lock".downgrade(_namespace text, _key text, _id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz := "nestjs_lock".lock_keys(_namespace, ARRAY[_key], 0);
  _owned boolean;
BEGIN
  UPDATE "nestjs_lock".leases SET shared = true
    WHERE namespace = _namespace AND key = _key AND id = _id AND NOT kept AND ends > _now;
  _owned := FOUND;
  IF _owned THEN
    PERFORM "nestjs_lock".hand_off(_namespace, _key, _now, NULL);
  END IF;
  RETURN "nestjs_lock".reply(_now, jsonb_build_array(_owned));
END
$$;
