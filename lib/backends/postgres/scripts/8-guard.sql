-- For a transaction of a user's: fails it unless the lease is there and its time is not over, and holds off
-- its end until that transaction commits or rolls back: nobody else is granted the key before. Renewals go
-- on meanwhile.
--
-- Returns the fencing token
CREATE FUNCTION "nestjs_lock".guard(_namespace text, _key text, _id text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  _lease record;
BEGIN
  -- This forbids to delete the row, and to update its key, but not to update its end.
  SELECT token, kept, ends INTO _lease FROM "nestjs_lock".leases
    WHERE namespace = _namespace AND key = _key AND id = _id FOR KEY SHARE;
  IF NOT FOUND OR _lease.kept OR _lease.ends <= clock_timestamp() THEN
    RAISE EXCEPTION 'the lock "%" is not held any more', _key USING ERRCODE = 'NL001';
  END IF;
  RETURN _lease.token;
END
$$;
