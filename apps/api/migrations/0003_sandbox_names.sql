ALTER TABLE "sandboxes" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "auth_token" text DEFAULT replace(gen_random_uuid()::text, '-', '');--> statement-breakpoint
CREATE UNIQUE INDEX "sandboxes_name_unique" ON "sandboxes" USING btree ("organization_id","name") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
UPDATE "sandboxes" SET "auth_token" = NULL WHERE "state" = 'destroyed';
