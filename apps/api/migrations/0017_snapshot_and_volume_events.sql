-- Whoever listens to an organization hears of its snapshots and volumes as of its sandboxes. What is built in is no
-- organization's, and a snapshot without a name is in no list.
CREATE FUNCTION "notify_resource_event"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('resource_event', json_build_object(
		'kind', TG_ARGV[0],
		'organizationId', NEW."organization_id",
		'id', NEW."id",
		'from', CASE TG_OP WHEN 'UPDATE' THEN OLD."state" END,
		'to', NEW."state"
	)::text);
	RETURN NULL;
END;
$$;
--> statement-breakpoint
CREATE TRIGGER "snapshots_inserted"
AFTER INSERT ON "snapshots"
FOR EACH ROW WHEN (NEW."organization_id" IS NOT NULL AND NEW."name" IS NOT NULL)
EXECUTE FUNCTION "notify_resource_event"('snapshot');
--> statement-breakpoint
CREATE TRIGGER "snapshots_state_updated"
AFTER UPDATE OF "state" ON "snapshots"
FOR EACH ROW WHEN (NEW."organization_id" IS NOT NULL AND NEW."name" IS NOT NULL AND OLD."state" <> NEW."state")
EXECUTE FUNCTION "notify_resource_event"('snapshot');
--> statement-breakpoint
CREATE TRIGGER "volumes_inserted"
AFTER INSERT ON "volumes"
FOR EACH ROW EXECUTE FUNCTION "notify_resource_event"('volume');
--> statement-breakpoint
CREATE TRIGGER "volumes_state_updated"
AFTER UPDATE OF "state" ON "volumes"
FOR EACH ROW WHEN (OLD."state" <> NEW."state")
EXECUTE FUNCTION "notify_resource_event"('volume');
