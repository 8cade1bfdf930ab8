-- Asks for keys. Each request is idempotent by id: asked again it answers the same grant, or the same place.
--
-- _not_after  the server's clock (ms) after which nobody wants this any more
-- _liveness   how long a waiter lives without a sign (ms)
-- _listens    whether the process of the requests hears messages
-- _requests   [{id, key, ttl (ms), shared, permits, queue, reserve}, …]
-- Reply       [server, now], when it is too late: nothing was done; or [server, now, …] with for each
--             ['granted', token, how many after it are reserved]
--             ['waiting', ms until the key may be free, place in the queue from 0]
--             ['busy'], or ['busy', limit] when those who use the key have another one than was asked for
--             ['closed', ms] when nothing is granted for so long, and it did not want to queue

CREATE FUNCTION "nestjs_lock".acquire(
  _namespace text, _not_after bigint, _liveness integer, _listens boolean, _requests jsonb
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _keys text[];
  _longest integer;
  _now timestamptz;
  _answers jsonb := '[]';
  _one record;
BEGIN
  SELECT array_agg(one ->> 'key'), max((one -> 'ttl')::integer) INTO _keys, _longest
    FROM jsonb_array_elements(_requests) AS one;
  _now := "nestjs_lock".lock_keys(_namespace, _keys, _longest);
  IF "nestjs_lock".millis(_now) > _not_after THEN
    RETURN "nestjs_lock".reply(_now, _answers);
  END IF;
  FOR _one IN SELECT * FROM jsonb_to_recordset(_requests) AS one(
    id text, key text, ttl integer, shared boolean, permits integer, queue boolean, reserve integer)
  LOOP
    _answers := _answers || jsonb_build_array("nestjs_lock".acquire_one(
      _namespace, _now, _liveness, _listens,
      _one.id, _one.key, _one.ttl, _one.shared, _one.permits, _one.queue, _one.reserve, 0));
  END LOOP;
  RETURN "nestjs_lock".reply(_now, _answers);
END
$$;

CREATE FUNCTION "nestjs_lock".acquire_one(
  _namespace text, _now timestamptz, _liveness integer, _listens boolean,
  _id text, _key text, _ttl integer, _shared boolean, _permits integer, _queue boolean, _reserve integer,
  _after bigint
) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  _ends timestamptz := _now + "nestjs_lock".span(_ttl);
  _dies timestamptz := _now + "nestjs_lock".span(_liveness);
  _token bigint;
  _held record;
  _minted record;
  _ticket bigint;
BEGIN
  SELECT token INTO _token FROM "nestjs_lock".leases
    WHERE namespace = _namespace AND key = _key AND id = _id AND NOT kept AND ends > _now;
  IF FOUND THEN
    -- Never shorter: this may be a late copy of a request whose lease was renewed for longer since.
    UPDATE "nestjs_lock".leases SET ends = _ends
      WHERE namespace = _namespace AND key = _key AND id = _id AND ends < _ends;
    RETURN jsonb_build_array('granted', _token, 0);
  END IF;

  _held := "nestjs_lock".holders_of(_namespace, _key, _now);
  IF "nestjs_lock".fits(_held.holders, _held.permits, _held.shared, _permits, _shared) THEN
    -- A lease may have ended by itself: those who wait come first.
    IF EXISTS (SELECT FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _key) THEN
      _token := "nestjs_lock".hand_off(_namespace, _key, _now, _id);
      IF _token IS NOT NULL THEN
        RETURN jsonb_build_array('granted', _token, 0);
      END IF;
      _held := "nestjs_lock".holders_of(_namespace, _key, _now);
    END IF;
    IF "nestjs_lock".fits(_held.holders, _held.permits, _held.shared, _permits, _shared)
      AND NOT EXISTS (SELECT FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _key)
    THEN
      _minted := "nestjs_lock".mint(_namespace, _key, _now, _reserve, _after);
      INSERT INTO "nestjs_lock".leases (namespace, key, id, token, shared, permits, granted, ends)
        VALUES (_namespace, _key, _id, _minted.token, _shared, _permits, _now, _ends);
      RETURN jsonb_build_array('granted', _minted.token, _minted.reserved);
    END IF;
  END IF;

  IF NOT _queue THEN
    RETURN "nestjs_lock".busy(_namespace, _key, _permits);
  END IF;
  SELECT greatest("nestjs_lock".micros(_now), max(ticket) + 1) INTO _ticket FROM "nestjs_lock".waiters
    WHERE namespace = _namespace AND key = _key;
  INSERT INTO "nestjs_lock".waiters AS waiter
    (namespace, key, id, ticket, shared, permits, ttl, listens, dies)
    VALUES (_namespace, _key, _id, _ticket, _shared, _permits, _ttl, _listens, _dies)
    ON CONFLICT (namespace, key, id) DO UPDATE SET dies = excluded.dies, listens = excluded.listens
    RETURNING waiter.ticket INTO _ticket;
  RETURN jsonb_build_array(
    'waiting', "nestjs_lock".free_in(_held.first_end, _now),
    "nestjs_lock".place_of(_namespace, _key, _ticket));
END
$$;

-- With the limit of those who hold the key, or of the first who waits where nobody does, if it is another.
CREATE FUNCTION "nestjs_lock".busy(_namespace text, _key text, _permits integer) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _used integer;
  _closed_until timestamptz;
BEGIN
  SELECT closed_until INTO _closed_until FROM "nestjs_lock".buckets
    WHERE namespace = _namespace AND number = "nestjs_lock".bucket_of(_key) AND closed_until > _now;
  IF FOUND THEN
    RETURN jsonb_build_array('closed', "nestjs_lock".ms_between(_now, _closed_until));
  END IF;
  SELECT permits INTO _used FROM "nestjs_lock".leases WHERE namespace = _namespace AND key = _key LIMIT 1;
  IF NOT FOUND THEN
    SELECT permits INTO _used FROM "nestjs_lock".waiters
      WHERE namespace = _namespace AND key = _key ORDER BY ticket LIMIT 1;
  END IF;
  IF _used <> _permits THEN
    RETURN jsonb_build_array('busy', _used);
  END IF;
  RETURN jsonb_build_array('busy');
END
$$;

CREATE FUNCTION "nestjs_lock".place_of(_namespace text, _key text, _ticket bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT count(*) FROM "nestjs_lock".waiters
    WHERE namespace = _namespace AND key = _key AND ticket < _ticket
$$;

-- Asks for several keys, all of them or none; asked again it answers the same grants. None of them queues.
--
-- _requests  as above
-- Reply      as above, with for each a token, no two the same; or one ['busy', index from 0], with the limit of
--            those who use that key when it is another than was asked for; or one ['closed', index, ms]
CREATE FUNCTION "nestjs_lock".acquire_all(_namespace text, _not_after bigint, _requests jsonb)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _keys text[];
  _longest integer;
  _now timestamptz;
  _tokens jsonb := '[]';
  _token bigint := 0;
  _one record;
  _held record;
  _busy jsonb;
BEGIN
  SELECT array_agg(one ->> 'key'), max((one -> 'ttl')::integer) INTO _keys, _longest
    FROM jsonb_array_elements(_requests) AS one;
  _now := "nestjs_lock".lock_keys(_namespace, _keys, _longest);
  IF "nestjs_lock".millis(_now) > _not_after THEN
    RETURN "nestjs_lock".reply(_now, _tokens);
  END IF;
  FOR _one IN SELECT ordinality - 1 AS index, value ->> 'id' AS id, value ->> 'key' AS key,
      (value -> 'permits')::integer AS permits, (value -> 'shared')::boolean AS shared
    FROM jsonb_array_elements(_requests) WITH ORDINALITY
  LOOP
    CONTINUE WHEN EXISTS (
      SELECT FROM "nestjs_lock".leases
        WHERE namespace = _namespace AND key = _one.key AND id = _one.id AND NOT kept AND ends > _now);
    DELETE FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _one.key AND dies <= _now;
    _held := "nestjs_lock".holders_of(_namespace, _one.key, _now);
    IF EXISTS (SELECT FROM "nestjs_lock".waiters WHERE namespace = _namespace AND key = _one.key)
      OR NOT "nestjs_lock".fits(_held.holders, _held.permits, _held.shared, _one.permits, _one.shared)
    THEN
      _busy := "nestjs_lock".busy(_namespace, _one.key, _one.permits);
      RETURN "nestjs_lock".reply(
        _now, jsonb_build_array(jsonb_insert(_busy, '{0}', to_jsonb(_one.index), true)));
    END IF;
  END LOOP;
  FOR _one IN SELECT * FROM jsonb_to_recordset(_requests) AS one(
    id text, key text, ttl integer, shared boolean, permits integer)
  LOOP
    _token := "nestjs_lock".acquire_one(
      _namespace, _now, 0, false,
      _one.id, _one.key, _one.ttl, _one.shared, _one.permits, false, 0, _token) -> 1;
    _tokens := _tokens || to_jsonb(_token);
  END LOOP;
  RETURN "nestjs_lock".reply(_now, _tokens);
END
$$;
