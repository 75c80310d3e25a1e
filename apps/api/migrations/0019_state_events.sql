CREATE TABLE "snapshot_events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "snapshot_events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"organization_id" uuid NOT NULL,
	"actor_kind" text NOT NULL,
	"actor_id" text,
	"event" text NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"duration_ms" bigint NOT NULL,
	"reason" text,
	"at" timestamp with time zone NOT NULL,
	"snapshot_id" uuid NOT NULL,
	CONSTRAINT "snapshot_events_actor_check" CHECK ("snapshot_events"."actor_kind" in ('user', 'reconciler', 'runner'))
);
--> statement-breakpoint
CREATE TABLE "volume_events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "volume_events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"organization_id" uuid NOT NULL,
	"actor_kind" text NOT NULL,
	"actor_id" text,
	"event" text NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"duration_ms" bigint NOT NULL,
	"reason" text,
	"at" timestamp with time zone NOT NULL,
	"volume_id" uuid NOT NULL,
	CONSTRAINT "volume_events_actor_check" CHECK ("volume_events"."actor_kind" in ('user', 'reconciler', 'runner'))
);
--> statement-breakpoint
CREATE INDEX "snapshot_events_snapshot_index" ON "snapshot_events" USING btree ("snapshot_id","id");--> statement-breakpoint
CREATE INDEX "snapshot_events_at_index" ON "snapshot_events" USING btree ("at");--> statement-breakpoint
CREATE INDEX "volume_events_volume_index" ON "volume_events" USING btree ("volume_id","id");--> statement-breakpoint
CREATE INDEX "volume_events_at_index" ON "volume_events" USING btree ("at");--> statement-breakpoint
CREATE INDEX "sandbox_events_at_index" ON "sandbox_events" USING btree ("at");--> statement-breakpoint
CREATE INDEX "sandboxes_destroyed_index" ON "sandboxes" USING btree ("changed_at") WHERE "sandboxes"."state" = 'destroyed';