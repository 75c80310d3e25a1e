-- Whoever caches what a key may do hears of every change, whatever made it.
CREATE FUNCTION "notify_api_key_changed"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('principal_changed', 'key:' || coalesce(OLD.key_hash, NEW.key_hash));
	RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE FUNCTION "notify_principals_changed"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('principal_changed', 'all');
	RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER "api_keys_changed"
AFTER INSERT OR DELETE OR UPDATE OF "key_hash", "permissions", "expires_at", "user_id", "organization_id" ON "api_keys"
FOR EACH ROW EXECUTE FUNCTION "notify_api_key_changed"();
--> statement-breakpoint
CREATE TRIGGER "organization_users_changed"
AFTER UPDATE OF "role" ON "organization_users"
FOR EACH STATEMENT EXECUTE FUNCTION "notify_principals_changed"();
--> statement-breakpoint
CREATE TRIGGER "users_changed"
AFTER UPDATE OF "role" ON "users"
FOR EACH STATEMENT EXECUTE FUNCTION "notify_principals_changed"();
