CREATE TABLE "former_placements" (
	"sandbox_id" uuid NOT NULL,
	"runner_id" uuid NOT NULL,
	"left_at" timestamp with time zone NOT NULL,
	"cleared_at" timestamp with time zone,
	CONSTRAINT "former_placements_pk" PRIMARY KEY("sandbox_id","runner_id")
);
--> statement-breakpoint
ALTER TABLE "sandboxes" DROP CONSTRAINT "sandboxes_recoverable_check";--> statement-breakpoint
DROP INDEX "sandboxes_auto_stop_index";--> statement-breakpoint
DROP INDEX "sandboxes_auto_archive_index";--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "heard_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "lost" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "former_placements" ADD CONSTRAINT "former_placements_sandbox_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "former_placements" ADD CONSTRAINT "former_placements_runner_fk" FOREIGN KEY ("runner_id") REFERENCES "public"."runners"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "former_placements_runner_index" ON "former_placements" USING btree ("runner_id");--> statement-breakpoint
CREATE INDEX "sandboxes_auto_stop_index" ON "sandboxes" USING btree ((("last_activity_at" - timestamptz '1970-01-01T00:00:00Z') + "auto_stop_minutes" * interval '1 minute')) WHERE "sandboxes"."state" = 'started' and "sandboxes"."desired_state" = 'started' and not "sandboxes"."lost" and "sandboxes"."auto_stop_minutes" > 0;--> statement-breakpoint
CREATE INDEX "sandboxes_auto_archive_index" ON "sandboxes" USING btree ((("stopped_at" - timestamptz '1970-01-01T00:00:00Z') + "auto_archive_minutes" * interval '1 minute')) WHERE "sandboxes"."state" = 'stopped' and "sandboxes"."desired_state" = 'stopped' and not "sandboxes"."lost";--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_lost_check" CHECK (not "sandboxes"."lost" or ("sandboxes"."state" in ('stopped', 'started', 'error') and "sandboxes"."desired_state" <> 'destroyed'));--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_recoverable_check" CHECK ("sandboxes"."recoverable_to" is null
        or ("sandboxes"."state" = 'error' and "sandboxes"."recoverable_to" in ('stopped', 'archived'))
        or ("sandboxes"."lost" and "sandboxes"."recoverable_to" = 'archived' and "sandboxes"."backup_id" is not null));