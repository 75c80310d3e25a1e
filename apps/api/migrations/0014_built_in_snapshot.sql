-- What a sandbox is made from when nothing else is asked for: the host's own userland.
INSERT INTO "snapshots" ("id", "organization_id", "name", "general", "ref", "kind", "cpu", "gpu", "memory_gib", "disk_gib",
	"region", "state", "changed_at", "size_gib", "asked", "created_at", "updated_at")
VALUES ('00000000-0000-0000-0000-000000000001', NULL, 'host', true, 'host', 'builtin', 1, 0, 1, 3,
	'us', 'active', now(), 0, true, now(), now());
--> statement-breakpoint
UPDATE "sandboxes" SET "snapshot_id" = '00000000-0000-0000-0000-000000000001', "snapshot_ref" = 'host' WHERE "snapshot" = 'host';
