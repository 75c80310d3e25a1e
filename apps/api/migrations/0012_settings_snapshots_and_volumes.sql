CREATE TABLE "sandbox_backups" (
	"id" uuid PRIMARY KEY NOT NULL,
	"sandbox_id" uuid NOT NULL,
	"state" text NOT NULL,
	"of_change" timestamp with time zone NOT NULL,
	"bytes" bigint,
	"sha256" text,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone,
	"lease_owner" uuid,
	"lease_expires_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "sandbox_backups_state_check" CHECK ("sandbox_backups"."state" in ('pending', 'writing', 'kept', 'discarded')),
	CONSTRAINT "sandbox_backups_kept_check" CHECK ("sandbox_backups"."state" <> 'kept' or ("sandbox_backups"."bytes" is not null and "sandbox_backups"."sha256" ~ '^[0-9a-f]{64}$'))
);
--> statement-breakpoint
CREATE TABLE "snapshot_runners" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"ref" text NOT NULL,
	"runner_id" uuid NOT NULL,
	"state" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "snapshot_runners_state_check" CHECK ("snapshot_runners"."state" in ('active', 'removing'))
);
--> statement-breakpoint
CREATE TABLE "snapshots" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"organization_id" uuid,
	"name" text,
	"general" boolean NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"ref" text NOT NULL,
	"kind" text NOT NULL,
	"image_name" text,
	"build_info" jsonb,
	"directory" text,
	"source_sandbox_id" uuid,
	"entrypoint" text[],
	"cpu" integer NOT NULL,
	"gpu" integer NOT NULL,
	"memory_gib" integer NOT NULL,
	"disk_gib" integer NOT NULL,
	"region" text NOT NULL,
	"state" text NOT NULL,
	"changed_at" timestamp with time zone NOT NULL,
	"error_reason" text,
	"size_gib" double precision,
	"max_size_gib" double precision,
	"digest" text,
	"runner_id" uuid,
	"asked" boolean DEFAULT false NOT NULL,
	"lease_owner" uuid,
	"lease_expires_at" timestamp with time zone,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone,
	"last_used_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	CONSTRAINT "snapshots_state_check" CHECK ("snapshots"."state" in ('build_pending', 'building', 'pending', 'pulling', 'snapshotting', 'pending_validation',
        'validating', 'active', 'inactive', 'error', 'build_failed', 'removing', 'removed')),
	CONSTRAINT "snapshots_kind_check" CHECK (("snapshots"."kind" in ('builtin', 'archive')
        or ("snapshots"."kind" = 'image' and "snapshots"."image_name" is not null)
        or ("snapshots"."kind" = 'build' and "snapshots"."build_info" is not null)
        or ("snapshots"."kind" = 'directory' and "snapshots"."directory" is not null)
        or ("snapshots"."kind" = 'sandbox' and "snapshots"."source_sandbox_id" is not null))
        and ("snapshots"."kind" = 'builtin') = ("snapshots"."organization_id" is null))
);
--> statement-breakpoint
CREATE TABLE "sandbox_volumes" (
	"sandbox_id" uuid NOT NULL,
	"volume_id" uuid NOT NULL,
	"mount_path" text NOT NULL,
	"subpath" text,
	CONSTRAINT "sandbox_volumes_pk" PRIMARY KEY("sandbox_id","mount_path")
);
--> statement-breakpoint
CREATE TABLE "volumes" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"organization_id" uuid NOT NULL,
	"name" text NOT NULL,
	"state" text NOT NULL,
	"runner_id" uuid,
	"error_reason" text,
	"lease_owner" uuid,
	"lease_expires_at" timestamp with time zone,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone,
	"changed_at" timestamp with time zone NOT NULL,
	"last_used_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	CONSTRAINT "volumes_state_check" CHECK ("volumes"."state" in ('pending_create', 'creating', 'ready', 'pending_delete', 'deleting', 'deleted', 'error'))
);
--> statement-breakpoint
ALTER TABLE "sandboxes" DROP CONSTRAINT "sandboxes_state_check";--> statement-breakpoint
ALTER TABLE "sandboxes" ALTER COLUMN "runner_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "abilities" jsonb;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "snapshot_id" uuid;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "snapshot_ref" text;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "build_info" jsonb;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "entrypoint" text[];--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "volumes" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "snapshotting_id" uuid;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "resize_cpu" integer;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "resize_memory_gib" integer;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "resize_disk_gib" integer;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "network_allow_list" text;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "auto_destroy_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "recoverable_to" text;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "stopped_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "stop_forced" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "backup_state" text DEFAULT 'None' NOT NULL;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "backup_id" uuid;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "backup_created_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sandbox_backups" ADD CONSTRAINT "sandbox_backups_sandbox_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "snapshot_runners" ADD CONSTRAINT "snapshot_runners_runner_fk" FOREIGN KEY ("runner_id") REFERENCES "public"."runners"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "snapshots" ADD CONSTRAINT "snapshots_organization_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "snapshots" ADD CONSTRAINT "snapshots_runner_fk" FOREIGN KEY ("runner_id") REFERENCES "public"."runners"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sandbox_volumes" ADD CONSTRAINT "sandbox_volumes_sandbox_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sandbox_volumes" ADD CONSTRAINT "sandbox_volumes_volume_fk" FOREIGN KEY ("volume_id") REFERENCES "public"."volumes"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "volumes" ADD CONSTRAINT "volumes_organization_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "volumes" ADD CONSTRAINT "volumes_runner_fk" FOREIGN KEY ("runner_id") REFERENCES "public"."runners"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "sandbox_backups_sandbox_index" ON "sandbox_backups" USING btree ("sandbox_id");--> statement-breakpoint
CREATE UNIQUE INDEX "sandbox_backups_unfinished_unique" ON "sandbox_backups" USING btree ("sandbox_id") WHERE "sandbox_backups"."state" in ('pending', 'writing');--> statement-breakpoint
CREATE INDEX "sandbox_backups_work_index" ON "sandbox_backups" USING btree ("created_at") WHERE "sandbox_backups"."state" <> 'kept';--> statement-breakpoint
CREATE UNIQUE INDEX "snapshot_runners_unique" ON "snapshot_runners" USING btree ("ref","runner_id");--> statement-breakpoint
CREATE INDEX "snapshot_runners_runner_index" ON "snapshot_runners" USING btree ("runner_id");--> statement-breakpoint
CREATE UNIQUE INDEX "snapshots_name_unique" ON "snapshots" USING btree ("organization_id","name") WHERE "snapshots"."state" <> 'removed';--> statement-breakpoint
CREATE UNIQUE INDEX "snapshots_nameless_unique" ON "snapshots" USING btree ("organization_id","ref") WHERE "snapshots"."name" is null and "snapshots"."state" not in ('error', 'build_failed', 'inactive', 'removing', 'removed');--> statement-breakpoint
CREATE INDEX "snapshots_general_index" ON "snapshots" USING btree ("name") WHERE "snapshots"."general" and "snapshots"."state" <> 'removed';--> statement-breakpoint
CREATE INDEX "snapshots_ref_index" ON "snapshots" USING btree ("ref") WHERE "snapshots"."state" <> 'removed';--> statement-breakpoint
CREATE INDEX "snapshots_unsettled_index" ON "snapshots" USING btree ("runner_id") WHERE "snapshots"."state" not in ('active', 'inactive', 'error', 'build_failed', 'removed');--> statement-breakpoint
CREATE INDEX "snapshots_runner_index" ON "snapshots" USING btree ("runner_id");--> statement-breakpoint
CREATE INDEX "sandbox_volumes_volume_index" ON "sandbox_volumes" USING btree ("volume_id");--> statement-breakpoint
CREATE UNIQUE INDEX "volumes_name_unique" ON "volumes" USING btree ("organization_id","name") WHERE "volumes"."state" <> 'deleted';--> statement-breakpoint
CREATE INDEX "volumes_organization_index" ON "volumes" USING btree ("organization_id");--> statement-breakpoint
CREATE INDEX "volumes_unsettled_index" ON "volumes" USING btree ("runner_id") WHERE "volumes"."state" not in ('ready', 'deleted', 'error');--> statement-breakpoint
CREATE INDEX "volumes_runner_index" ON "volumes" USING btree ("runner_id");--> statement-breakpoint
CREATE INDEX "sandboxes_snapshot_index" ON "sandboxes" USING btree ("snapshot_id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_snapshot_ref_index" ON "sandboxes" USING btree (coalesce("snapshot_ref", "snapshot"),"runner_id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_waiting_index" ON "sandboxes" USING btree ("changed_at") WHERE "sandboxes"."state" in ('pending_build', 'building_snapshot', 'pulling_snapshot');--> statement-breakpoint
CREATE INDEX "sandboxes_snapshotting_index" ON "sandboxes" USING btree ("snapshotting_id") WHERE "sandboxes"."snapshotting_id" is not null;--> statement-breakpoint
CREATE INDEX "sandboxes_auto_stop_index" ON "sandboxes" USING btree ((("last_activity_at" - timestamptz '1970-01-01T00:00:00Z') + "auto_stop_minutes" * interval '1 minute')) WHERE "sandboxes"."state" = 'started' and "sandboxes"."desired_state" = 'started' and "sandboxes"."auto_stop_minutes" > 0;--> statement-breakpoint
CREATE INDEX "sandboxes_auto_archive_index" ON "sandboxes" USING btree ((("stopped_at" - timestamptz '1970-01-01T00:00:00Z') + "auto_archive_minutes" * interval '1 minute')) WHERE "sandboxes"."state" = 'stopped' and "sandboxes"."desired_state" = 'stopped';--> statement-breakpoint
CREATE INDEX "sandboxes_auto_delete_index" ON "sandboxes" USING btree ((("stopped_at" - timestamptz '1970-01-01T00:00:00Z') + "auto_delete_minutes" * interval '1 minute')) WHERE "sandboxes"."state" = "sandboxes"."desired_state" and "sandboxes"."state" in ('stopped', 'archived') and "sandboxes"."auto_delete_minutes" >= 0;--> statement-breakpoint
CREATE INDEX "sandboxes_auto_destroy_index" ON "sandboxes" USING btree ("auto_destroy_at") WHERE "sandboxes"."auto_destroy_at" is not null and "sandboxes"."desired_state" <> 'destroyed';--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_recoverable_check" CHECK ("sandboxes"."recoverable_to" is null
        or ("sandboxes"."state" = 'error' and "sandboxes"."recoverable_to" in ('stopped', 'archived')));--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_place_check" CHECK (("sandboxes"."runner_id" is not null or "sandboxes"."state" in ('archived', 'error', 'destroyed'))
        and ("sandboxes"."backup_id" is not null or "sandboxes"."state" <> 'archived'));--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_resize_check" CHECK ("sandboxes"."resize_cpu" is not null or "sandboxes"."state" = 'error' or "sandboxes"."desired_state" <> 'resized');--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_backup_state_check" CHECK ("sandboxes"."backup_state" in ('None', 'Pending', 'InProgress', 'Completed', 'Error'));--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_state_check" CHECK (case "sandboxes"."state"
        when 'pending_build' then "sandboxes"."desired_state" in ('started', 'destroyed')
        when 'building_snapshot' then "sandboxes"."desired_state" in ('started', 'destroyed')
        when 'build_failed' then "sandboxes"."desired_state" in ('started', 'destroyed')
        when 'pulling_snapshot' then "sandboxes"."desired_state" in ('started', 'destroyed')
        when 'creating' then "sandboxes"."desired_state" in ('started', 'destroyed')
        when 'stopped' then "sandboxes"."desired_state" in ('started', 'stopped', 'archived', 'resized', 'destroyed')
        when 'started' then "sandboxes"."desired_state" in ('started', 'stopped', 'resized', 'destroyed')
        when 'archived' then "sandboxes"."desired_state" in ('started', 'archived', 'destroyed')
        when 'error' then "sandboxes"."desired_state" in ('started', 'stopped', 'archived', 'resized', 'destroyed')
        when 'destroyed' then "sandboxes"."desired_state" = 'destroyed'
        else false end);