-- What a process asks first.
--
-- Reply  [server, now, version, the oldest version whose clients are served]
CREATE FUNCTION "nestjs_lock".enter() RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT "nestjs_lock".reply(clock_timestamp(), jsonb_build_array(version, serves)) FROM "nestjs_lock".version
$$;

-- Listens for messages to a process, on this connection, until that ends.
--
-- Reply  [server, now]
CREATE FUNCTION "nestjs_lock".listen(_process text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('LISTEN %I', "nestjs_lock".channel_of(_process));
  RETURN "nestjs_lock".reply(clock_timestamp(), '[]');
END
$$;

-- Sends a process a message, by which it knows that it hears.
--
-- Reply  [server, now]
CREATE FUNCTION "nestjs_lock".beat(_process text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify("nestjs_lock".channel_of(_process), '["beat"]');
  RETURN "nestjs_lock".reply(clock_timestamp(), '[]');
END
$$;
