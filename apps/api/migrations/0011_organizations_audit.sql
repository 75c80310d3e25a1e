CREATE TABLE "audit_logs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"organization_id" uuid,
	"actor_id" text NOT NULL,
	"actor_email" text NOT NULL,
	"api_key_id" uuid,
	"api_key_prefix" text,
	"api_key_suffix" text,
	"action" text NOT NULL,
	"target_type" text NOT NULL,
	"target_id" text,
	"status_code" integer NOT NULL,
	"error_message" text,
	"source" text,
	"ip_address" text,
	"user_agent" text,
	"request_id" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "audit_logs_action_check" CHECK ("audit_logs"."action" <> '')
);
--> statement-breakpoint
CREATE TABLE "organization_invitation_roles" (
	"invitation_id" uuid NOT NULL,
	"role_id" uuid NOT NULL,
	CONSTRAINT "organization_invitation_roles_pk" PRIMARY KEY("invitation_id","role_id")
);
--> statement-breakpoint
CREATE TABLE "organization_invitations" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"organization_id" uuid NOT NULL,
	"email" text NOT NULL,
	"invited_by" text NOT NULL,
	"status" text DEFAULT 'pending' NOT NULL,
	"role" text NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "organization_invitations_status_check" CHECK ("organization_invitations"."status" in ('pending', 'accepted', 'declined', 'cancelled')),
	CONSTRAINT "organization_invitations_role_check" CHECK ("organization_invitations"."role" in ('owner', 'member')),
	CONSTRAINT "organization_invitations_email_check" CHECK ("organization_invitations"."email" <> '')
);
--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "default_region_id" text;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "cpu_quota" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "memory_gib_quota" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "disk_gib_quota" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "max_sandbox_cpu" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "max_sandbox_memory_gib" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "max_sandbox_disk_gib" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "sandbox_quota" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "running_sandbox_quota" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "snapshot_quota" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "max_snapshot_gib" double precision;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "snapshot_total_gib_quota" double precision;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "volume_quota" integer;--> statement-breakpoint
ALTER TABLE "organizations" ADD COLUMN "deleted_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "organization_invitation_roles" ADD CONSTRAINT "organization_invitation_roles_invitation_fk" FOREIGN KEY ("invitation_id") REFERENCES "public"."organization_invitations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_invitation_roles" ADD CONSTRAINT "organization_invitation_roles_role_fk" FOREIGN KEY ("role_id") REFERENCES "public"."organization_roles"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "organization_invitations" ADD CONSTRAINT "organization_invitations_organization_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_logs_organization_index" ON "audit_logs" USING btree ("organization_id","at" DESC NULLS FIRST,"id" DESC NULLS FIRST);--> statement-breakpoint
CREATE INDEX "organization_invitation_roles_role_index" ON "organization_invitation_roles" USING btree ("role_id");--> statement-breakpoint
CREATE INDEX "organization_invitations_organization_index" ON "organization_invitations" USING btree ("organization_id") WHERE "organization_invitations"."status" = 'pending';--> statement-breakpoint
CREATE INDEX "organization_invitations_email_index" ON "organization_invitations" USING btree (lower("email")) WHERE "organization_invitations"."status" = 'pending';--> statement-breakpoint
CREATE INDEX "organizations_created_by_index" ON "organizations" USING btree ("created_by");--> statement-breakpoint
CREATE INDEX "organizations_suspended_index" ON "organizations" USING btree ("suspended_at") WHERE "organizations"."suspended";--> statement-breakpoint
CREATE INDEX "organizations_deleted_index" ON "organizations" USING btree ("deleted_at") WHERE "organizations"."deleted_at" is not null;