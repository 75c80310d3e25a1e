-- What runners were registered in before there was a list of regions stays known, and everybody's.
INSERT INTO "regions" ("id", "name", "region_type")
SELECT "region", "region", 'shared' FROM (SELECT 'us' AS "region" UNION SELECT "region" FROM "runners") AS "known";
--> statement-breakpoint
-- Whoever listens to an organization hears of every change of a sandbox, whatever made it and on whichever replica.
CREATE FUNCTION "notify_sandbox_event"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('resource_event', json_build_object(
		'kind', 'sandbox',
		'organizationId', NEW."organization_id",
		'id', NEW."sandbox_id",
		'from', NEW."from_state",
		'to', NEW."to_state"
	)::text);
	RETURN NULL;
END;
$$;
--> statement-breakpoint
CREATE TRIGGER "sandbox_events_inserted"
AFTER INSERT ON "sandbox_events"
FOR EACH ROW EXECUTE FUNCTION "notify_sandbox_event"();
