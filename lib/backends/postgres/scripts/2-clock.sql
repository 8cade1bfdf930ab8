-- The server's clock, and which server it is. (What reads a time is STABLE, as the server has it, or it would be
-- called, and not be made a part of what calls it.)

CREATE FUNCTION "nestjs_lock".micros(_at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT (extract(epoch FROM _at) * 1000000)::bigint
$$;

CREATE FUNCTION "nestjs_lock".millis(_at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT floor(extract(epoch FROM _at) * 1000)::bigint
$$;

-- Milliseconds from one moment to another.
CREATE FUNCTION "nestjs_lock".ms_between(_from timestamptz, _to timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT floor(extract(epoch FROM _to - _from) * 1000)::bigint
$$;

-- So many milliseconds.
CREATE FUNCTION "nestjs_lock".span(_ms double precision) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT _ms * interval '1 millisecond'
$$;

-- Another one after a restart, and at another server: a message tells of the one that sent it.
CREATE FUNCTION "nestjs_lock".server() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT "nestjs_lock".micros(pg_postmaster_start_time())::text
$$;

-- What every reply begins with: the server, and its clock (ms) in the moment of the step.
CREATE FUNCTION "nestjs_lock".reply(_now timestamptz, _answers jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT (jsonb_build_array("nestjs_lock".server(), "nestjs_lock".millis(_now)) || _answers)::text
$$;

-- On which a process is told; short, as names of channels are.
CREATE FUNCTION "nestjs_lock".channel_of(_process text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT 'nestjs_lock:' || to_hex(hashtextextended(_process, 0)) || to_hex(hashtextextended(_process, 1))
$$;
