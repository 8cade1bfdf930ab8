-- Gives leases at least so much more life. Never shortens one: this may be a late copy of a renewal after
-- which a longer one was answered. Never creates one. Waits for nobody.
--
-- _leases  [{id, key, ttl (ms)}, …]
-- Reply    [server, now, …] with for each
--          true   renewed
--          false  not (any more) the owner's
--          null   nothing is known: another step has it in its hands
--          [number, ms left, reason]  renewed, and its holder is asked to stop; a later one has a greater number
CREATE FUNCTION "nestjs_lock".renew(_namespace text, _leases jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz;
  _answers jsonb[] := '{}';
  _one record;
  _lease "nestjs_lock".leases;
BEGIN
  PERFORM "nestjs_lock".be_durable();
  PERFORM "nestjs_lock".remember(_namespace, max((one -> 'ttl')::integer))
    FROM jsonb_array_elements(_leases) AS one;
  FOR _one IN SELECT * FROM jsonb_to_recordset(_leases) AS one(id text, key text, ttl integer) LOOP
    SELECT * INTO _lease FROM "nestjs_lock".leases
      WHERE namespace = _namespace AND key = _one.key AND id = _one.id
      FOR NO KEY UPDATE SKIP LOCKED;
    _now := clock_timestamp();
    IF NOT FOUND THEN
      PERFORM FROM "nestjs_lock".leases WHERE namespace = _namespace AND key = _one.key AND id = _one.id;
      _answers := _answers || CASE WHEN FOUND THEN jsonb 'null' ELSE jsonb 'false' END;
    ELSIF _lease.kept OR _lease.ends <= _now THEN
      _answers := _answers || jsonb 'false';
    ELSE
      UPDATE "nestjs_lock".leases SET ends = greatest(ends, _now + "nestjs_lock".span(_one.ttl))
        WHERE namespace = _namespace AND key = _one.key AND id = _one.id;
      _answers := _answers || CASE
        WHEN _lease.revoked_until IS NULL THEN jsonb 'true'
        ELSE "nestjs_lock".revocation(_now, _lease.revoked_until, _lease.revoked_for)
      END;
    END IF;
  END LOOP;
  RETURN "nestjs_lock".reply(clock_timestamp(), to_jsonb(_answers));
END
$$;

CREATE FUNCTION "nestjs_lock".revocation(_now timestamptz, _until timestamptz, _reason text) RETURNS jsonb
LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_array(
    "nestjs_lock".micros(_until), greatest(0, "nestjs_lock".ms_between(_now, _until)), _reason)
$$;

-- The sign of life of all waiters of a process, and their look at how things stand: it makes up for
-- messages that were lost, and promotes where a holder's lease ended by itself. Waits for nobody.
--
-- _liveness  how long a waiter lives without a sign (ms)
-- _listens   whether the process hears messages
-- _waiters   [{id, key}, …]
-- Reply      [server, now, …] with for each
--            ['waiting', ms until the key may be free, place in the queue from 0]
--            ['granted', token, ms left of the lease]
--            ['dropped']  it was counted as dead, and must ask again
CREATE FUNCTION "nestjs_lock".heartbeat(
  _namespace text, _liveness integer, _listens boolean, _waiters jsonb
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _answers jsonb[] := '{}';
  _one record;
BEGIN
  PERFORM "nestjs_lock".be_durable();
  -- All of them as they are at one moment, as those who are let in together are to hear of it together.
  FOR _one IN SELECT waiter, lease.token, lease.ends
    FROM ROWS FROM (jsonb_to_recordset(_waiters) AS (id text, key text))
      WITH ORDINALITY AS asked(id, key, place)
    LEFT JOIN "nestjs_lock".waiters AS waiter
      ON waiter.namespace = _namespace AND waiter.key = asked.key AND waiter.id = asked.id
    LEFT JOIN "nestjs_lock".leases AS lease
      ON lease.namespace = _namespace AND lease.key = asked.key AND lease.id = asked.id
        AND NOT lease.kept AND lease.ends > _now
    -- Each answer is for the one at its place, and a join may turn the order round.
    ORDER BY asked.place
  LOOP
    _answers := _answers || CASE
      WHEN (_one.waiter).id IS NOT NULL THEN "nestjs_lock".look(_liveness, _listens, _one.waiter)
      WHEN _one.token IS NOT NULL
        THEN jsonb_build_array('granted', _one.token, "nestjs_lock".ms_between(_now, _one.ends))
      ELSE jsonb_build_array('dropped')
    END;
  END LOOP;
  RETURN "nestjs_lock".reply(_now, to_jsonb(_answers));
END
$$;

CREATE FUNCTION "nestjs_lock".look(_liveness integer, _listens boolean, _waiter "nestjs_lock".waiters)
RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  -- After a step of somebody else's at this key it is worth a look again, in milliseconds.
  SOON CONSTANT integer := 20;
  _namespace text := _waiter.namespace;
  _key text := _waiter.key;
  _now timestamptz;
  _first text;
  _held record;
BEGIN
  PERFORM FROM "nestjs_lock".waiters
    WHERE namespace = _namespace AND key = _key AND id = _waiter.id FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN jsonb_build_array('waiting', SOON, 0);
  END IF;
  _now := clock_timestamp();
  UPDATE "nestjs_lock".waiters
    SET dies = _now + "nestjs_lock".span(_liveness), listens = _listens
    WHERE namespace = _namespace AND key = _key AND id = _waiter.id;

  SELECT id INTO _first FROM "nestjs_lock".waiters
    WHERE namespace = _namespace AND key = _key AND dies > _now ORDER BY ticket LIMIT 1;
  SELECT count(*) AS holders, min(permits) AS permits,
      coalesce(bool_and(shared), false) AS shared, min(ends) AS first_end
    INTO _held FROM "nestjs_lock".leases WHERE namespace = _namespace AND key = _key AND ends > _now;
  IF _first = _waiter.id AND "nestjs_lock".fits(
    _held.holders, _held.permits, _held.shared, _waiter.permits, _waiter.shared)
  THEN
    RETURN "nestjs_lock".promote(_namespace, _key, _waiter);
  END IF;
  RETURN jsonb_build_array(
    'waiting', "nestjs_lock".free_in(_held.first_end, _now),
    "nestjs_lock".place_of(_namespace, _key, _waiter.ticket));
END
$$;

-- Grants a key to a waiter who seems to be the next: whose row is locked, and who waits for nobody else's.
CREATE FUNCTION "nestjs_lock".promote(_namespace text, _key text, _waiter "nestjs_lock".waiters)
RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  SOON CONSTANT integer := 20;
  _now timestamptz;
  _held record;
  _minted record;
BEGIN
  PERFORM FROM "nestjs_lock".buckets
    WHERE namespace = _namespace AND number = "nestjs_lock".bucket_of(_key)
    FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN jsonb_build_array('waiting', SOON, 0);
  END IF;
  _now := clock_timestamp();
  _held := "nestjs_lock".holders_of(_namespace, _key, _now);
  IF NOT "nestjs_lock".fits(_held.holders, _held.permits, _held.shared, _waiter.permits, _waiter.shared)
    OR EXISTS (
      SELECT FROM "nestjs_lock".waiters
        WHERE namespace = _namespace AND key = _key AND ticket < _waiter.ticket AND dies > _now)
  THEN
    RETURN jsonb_build_array('waiting', "nestjs_lock".free_in(_held.first_end, _now), 0);
  END IF;
  DELETE FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _key AND id = _waiter.id;
  _minted := "nestjs_lock".mint(_namespace, _key, _now, 0, 0);
  INSERT INTO "nestjs_lock".leases (namespace, key, id, token, shared, permits, granted, ends) VALUES (
    _namespace, _key, _waiter.id, _minted.token, _waiter.shared, _waiter.permits,
    _now, _now + "nestjs_lock".span(_waiter.ttl));
  RETURN jsonb_build_array('granted', _minted.token, _waiter.ttl);
END
$$;

-- Removes what nobody else will: rows of keys that nobody asks for any more, a minute after their time. Once a
-- minute, whoever asks, and at most a thousand of each.
--
-- Reply  [server, now]
CREATE FUNCTION "nestjs_lock".sweep() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _left record;
BEGIN
  PERFORM FROM "nestjs_lock".sweeps WHERE due <= _now FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    UPDATE "nestjs_lock".sweeps SET due = _now + interval '1 minute';
    DELETE FROM "nestjs_lock".waiters AS waiter USING (
      SELECT namespace, key, id FROM "nestjs_lock".waiters
        WHERE dies < _now - interval '1 minute' LIMIT 1000 FOR UPDATE SKIP LOCKED
    ) AS dead
      WHERE waiter.namespace = dead.namespace AND waiter.key = dead.key AND waiter.id = dead.id;
    FOR _left IN SELECT DISTINCT namespace, key FROM "nestjs_lock".leases
      WHERE ends < _now - interval '1 minute' LIMIT 1000
    LOOP
      PERFORM FROM "nestjs_lock".buckets
        WHERE namespace = _left.namespace AND number = "nestjs_lock".bucket_of(_left.key)
        FOR NO KEY UPDATE SKIP LOCKED;
      IF FOUND THEN
        PERFORM "nestjs_lock".drop_over(_left.namespace, _left.key, _now);
      END IF;
    END LOOP;
  END IF;
  RETURN "nestjs_lock".reply(_now, '[]');
END
$$;
