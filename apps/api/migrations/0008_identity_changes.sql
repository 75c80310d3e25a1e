-- The administrator of the first start has no address to verify.
UPDATE "users" SET "email_verified" = true WHERE "role" = 'admin';
--> statement-breakpoint
-- Whoever remembers an access token hears that its sign-in has ended, whatever ended it.
CREATE FUNCTION "notify_sign_in_ended"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('sign_in_ended', OLD.id::text);
	RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER "sign_ins_ended"
AFTER DELETE ON "sign_ins"
FOR EACH ROW EXECUTE FUNCTION "notify_sign_in_ended"();
--> statement-breakpoint
CREATE TRIGGER "linked_accounts_changed"
AFTER DELETE OR UPDATE OF "user_id" ON "linked_accounts"
FOR EACH STATEMENT EXECUTE FUNCTION "notify_principals_changed"();
