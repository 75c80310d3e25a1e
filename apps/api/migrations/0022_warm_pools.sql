CREATE TABLE "warm_pool_demand" (
	"pool_id" uuid NOT NULL,
	"span" timestamp with time zone NOT NULL,
	"claims" integer NOT NULL,
	"misses" integer NOT NULL,
	CONSTRAINT "warm_pool_demand_pk" PRIMARY KEY("pool_id","span")
);
--> statement-breakpoint
CREATE TABLE "warm_pools" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"organization_id" uuid,
	"snapshot_id" uuid NOT NULL,
	"target" text NOT NULL,
	"size" integer NOT NULL,
	"error_reason" text,
	"paused_until" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	CONSTRAINT "warm_pools_unique" UNIQUE NULLS NOT DISTINCT("organization_id","snapshot_id","target"),
	CONSTRAINT "warm_pools_size_check" CHECK ("warm_pools"."size" >= 0)
);
--> statement-breakpoint
ALTER TABLE "sandbox_events" ALTER COLUMN "organization_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "sandboxes" ALTER COLUMN "organization_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "warm_pool_id" uuid;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "warm_runner_version" text;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "claim_pending" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "warm_pool_demand" ADD CONSTRAINT "warm_pool_demand_pool_fk" FOREIGN KEY ("pool_id") REFERENCES "public"."warm_pools"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "warm_pools" ADD CONSTRAINT "warm_pools_organization_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "sandboxes_warm_index" ON "sandboxes" USING btree ("warm_pool_id") WHERE "sandboxes"."warm_pool_id" is not null;--> statement-breakpoint
CREATE INDEX "sandboxes_claim_index" ON "sandboxes" USING btree ("runner_id") WHERE "sandboxes"."claim_pending";--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_owner_check" CHECK (("sandboxes"."organization_id" is null) = ("sandboxes"."warm_pool_id" is not null));--> statement-breakpoint
ALTER TABLE "sandboxes" ADD CONSTRAINT "sandboxes_claim_check" CHECK (not "sandboxes"."claim_pending" or ("sandboxes"."organization_id" is not null and "sandboxes"."state" = 'started'));