-- Roles that every organization has: §4 of the Daytona contract.
INSERT INTO "organization_roles" ("id", "organization_id", "name", "description", "permissions") VALUES
	('00000000-0000-0000-0000-000000000001', NULL, 'Developer', 'Creates and uses sandboxes', '{write:sandboxes}'),
	('00000000-0000-0000-0000-000000000002', NULL, 'Sandboxes Admin', 'Creates, uses and deletes sandboxes', '{write:sandboxes,delete:sandboxes}'),
	('00000000-0000-0000-0000-000000000003', NULL, 'Snapshots Admin', 'Creates and deletes snapshots', '{write:snapshots,delete:snapshots}'),
	('00000000-0000-0000-0000-000000000004', NULL, 'Registries Admin', 'Creates, changes and deletes registries', '{write:registries,delete:registries}'),
	('00000000-0000-0000-0000-000000000005', NULL, 'Super Admin', 'Has every permission', '{write:registries,delete:registries,write:snapshots,delete:snapshots,write:sandboxes,delete:sandboxes,read:volumes,write:volumes,delete:volumes,write:regions,delete:regions,read:runners,write:runners,delete:runners,read:audit_logs,manage:api_keys,manage:secrets,read:limits,manage:sso,read:billing,manage:billing}'),
	('00000000-0000-0000-0000-000000000006', NULL, 'Volumes Admin', 'Lists, creates and deletes volumes', '{read:volumes,write:volumes,delete:volumes}');
--> statement-breakpoint
-- Whoever caches what a member may do hears of every change, whatever made it.
DROP TRIGGER "organization_users_changed" ON "organization_users";
--> statement-breakpoint
CREATE TRIGGER "organization_users_changed"
AFTER INSERT OR DELETE OR UPDATE OF "role" ON "organization_users"
FOR EACH STATEMENT EXECUTE FUNCTION "notify_principals_changed"();
--> statement-breakpoint
CREATE TRIGGER "organization_user_roles_changed"
AFTER INSERT OR DELETE OR UPDATE ON "organization_user_roles"
FOR EACH STATEMENT EXECUTE FUNCTION "notify_principals_changed"();
--> statement-breakpoint
CREATE TRIGGER "organization_roles_changed"
AFTER DELETE OR UPDATE OF "permissions" ON "organization_roles"
FOR EACH STATEMENT EXECUTE FUNCTION "notify_principals_changed"();
--> statement-breakpoint
CREATE TRIGGER "users_deleted"
AFTER DELETE ON "users"
FOR EACH STATEMENT EXECUTE FUNCTION "notify_principals_changed"();
