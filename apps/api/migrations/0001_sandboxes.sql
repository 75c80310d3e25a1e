CREATE TABLE "runners" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"name" text NOT NULL,
	"token_hash" text NOT NULL,
	"region" text NOT NULL,
	"version" text,
	"driver" text,
	"runtime" text,
	"limitations" text[] DEFAULT '{}' NOT NULL,
	"snapshots" text[] DEFAULT '{}' NOT NULL,
	"cpu" double precision,
	"memory_gib" double precision,
	"disk_gib" double precision,
	"connection_id" uuid,
	"last_seen_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "runners_name_unique" UNIQUE("name"),
	CONSTRAINT "runners_token_hash_unique" UNIQUE("token_hash"),
	CONSTRAINT "runners_token_hash_check" CHECK ("runners"."token_hash" ~ '^[0-9a-f]{64}$')
);
--> statement-breakpoint
CREATE TABLE "sandbox_events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "sandbox_events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"sandbox_id" uuid NOT NULL,
	"organization_id" uuid NOT NULL,
	"actor_kind" text NOT NULL,
	"actor_id" text,
	"event" text NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"duration_ms" bigint NOT NULL,
	"reason" text,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "sandbox_events_actor_check" CHECK ("sandbox_events"."actor_kind" in ('user', 'reconciler', 'runner'))
);
--> statement-breakpoint
CREATE TABLE "sandboxes" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"organization_id" uuid NOT NULL,
	"runner_id" uuid NOT NULL,
	"snapshot" text NOT NULL,
	"os_user" text NOT NULL,
	"env" jsonb NOT NULL,
	"labels" jsonb NOT NULL,
	"public" boolean NOT NULL,
	"target" text NOT NULL,
	"class" text NOT NULL,
	"cpu" integer NOT NULL,
	"gpu" integer NOT NULL,
	"memory_gib" integer NOT NULL,
	"disk_gib" integer NOT NULL,
	"network_block_all" boolean NOT NULL,
	"auto_stop_minutes" integer NOT NULL,
	"auto_archive_minutes" integer NOT NULL,
	"auto_delete_minutes" integer NOT NULL,
	"state" text NOT NULL,
	"desired_state" text NOT NULL,
	"changed_at" timestamp with time zone NOT NULL,
	"error_reason" text,
	"toolbox_token_hash" text,
	"lease_owner" uuid,
	"lease_expires_at" timestamp with time zone,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone,
	"last_activity_at" timestamp with time zone NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	CONSTRAINT "sandboxes_toolbox_token_hash_unique" UNIQUE("toolbox_token_hash"),
	CONSTRAINT "sandboxes_state_check" CHECK ("sandboxes"."state" in ('creating', 'stopped', 'started', 'destroyed', 'error')
        and "sandboxes"."desired_state" in ('started', 'stopped', 'destroyed')
        and ("sandboxes"."state" <> 'destroyed' or "sandboxes"."desired_state" = 'destroyed')
        and ("sandboxes"."state" <> 'creating' or "sandboxes"."desired_state" <> 'stopped')),
	CONSTRAINT "sandboxes_class_check" CHECK ("sandboxes"."class" in ('small', 'medium', 'large')),
	CONSTRAINT "sandboxes_token_hash_check" CHECK ("sandboxes"."toolbox_token_hash" ~ '^[0-9a-f]{64}$')
);
--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_organization_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_runner_fk" FOREIGN KEY ("runner_id") REFERENCES "public"."runners"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "sandbox_events_sandbox_index" ON "sandbox_events" USING btree ("sandbox_id","id");--> statement-breakpoint
CREATE INDEX "sandboxes_organization_index" ON "sandboxes" USING btree ("organization_id","created_at" DESC NULLS FIRST,"id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_runner_index" ON "sandboxes" USING btree ("runner_id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_unsettled_index" ON "sandboxes" USING btree ("runner_id") WHERE "sandboxes"."state" <> "sandboxes"."desired_state";