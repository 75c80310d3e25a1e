CREATE TABLE "signed_previews" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"sandbox_id" uuid NOT NULL,
	"port" integer NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "signed_previews_token_hash_check" CHECK ("signed_previews"."token_hash" ~ '^[0-9a-f]{64}$'),
	CONSTRAINT "signed_previews_port_check" CHECK ("signed_previews"."port" between 1 and 65535)
);
--> statement-breakpoint
CREATE TABLE "regions" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"organization_id" uuid,
	"region_type" text NOT NULL,
	"proxy_url" text,
	"ssh_gateway_url" text,
	"snapshot_manager_url" text,
	"otel_endpoint" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "regions_name_unique" UNIQUE NULLS NOT DISTINCT("organization_id","name"),
	CONSTRAINT "regions_type_check" CHECK ("regions"."region_type" in ('shared', 'dedicated', 'custom')
        and ("regions"."region_type" = 'shared') = ("regions"."organization_id" is null))
);
--> statement-breakpoint
ALTER TABLE "runners" DROP CONSTRAINT "runners_name_unique";--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "domain" text;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "api_url" text;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "proxy_url" text;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "tags" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "class" text;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "gpu" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "gpu_type" text;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "capacity" integer;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "unschedulable" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "draining" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "removed_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "signed_previews" ADD CONSTRAINT "signed_previews_sandbox_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "regions" ADD CONSTRAINT "regions_organization_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "signed_previews_sandbox_index" ON "signed_previews" USING btree ("sandbox_id","expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "runners_name_unique" ON "runners" USING btree ("name") WHERE "runners"."removed_at" is null;--> statement-breakpoint
CREATE INDEX "sandboxes_shown_name_index" ON "sandboxes" USING btree ("organization_id",coalesce("name", "id"::text),"id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_cpu_index" ON "sandboxes" USING btree ("organization_id","cpu","id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_memory_index" ON "sandboxes" USING btree ("organization_id","memory_gib","id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_disk_index" ON "sandboxes" USING btree ("organization_id","disk_gib","id") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_labels_index" ON "sandboxes" USING gin ("labels" jsonb_path_ops) WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_public_index" ON "sandboxes" USING btree ("organization_id","last_activity_at" DESC NULLS FIRST,"id" DESC NULLS FIRST) WHERE "sandboxes"."public" and "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_restless_index" ON "sandboxes" USING btree ("organization_id","last_activity_at" DESC NULLS FIRST,"id" DESC NULLS FIRST) WHERE "sandboxes"."state" <> 'destroyed' and ("sandboxes"."state" = 'error' or "sandboxes"."state" <> "sandboxes"."desired_state");--> statement-breakpoint
ALTER TABLE "runners" ADD CONSTRAINT "runners_class_check" CHECK ("runners"."class" in ('small', 'medium', 'large'));