CREATE TABLE "docker_registries" (
	"id" uuid PRIMARY KEY NOT NULL,
	"organization_id" uuid,
	"name" text NOT NULL,
	"url" text NOT NULL,
	"username" text NOT NULL,
	"sealed_password" text NOT NULL,
	"project" text NOT NULL,
	"registry_type" text NOT NULL,
	"is_default" boolean NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "docker_registries_type_check" CHECK ("docker_registries"."registry_type" in ('internal', 'organization', 'public', 'transient')),
	CONSTRAINT "docker_registries_owner_check" CHECK (("docker_registries"."registry_type" = 'organization') = ("docker_registries"."organization_id" is not null)),
	CONSTRAINT "docker_registries_name_check" CHECK ("docker_registries"."name" <> '')
);
--> statement-breakpoint
CREATE TABLE "object_files" (
	"name" uuid PRIMARY KEY NOT NULL,
	"scope" text NOT NULL,
	"bytes" bigint NOT NULL,
	"released_at" timestamp with time zone DEFAULT now(),
	CONSTRAINT "object_files_bytes_check" CHECK ("object_files"."bytes" >= 0)
);
--> statement-breakpoint
CREATE TABLE "object_upload_parts" (
	"upload_id" uuid NOT NULL,
	"number" integer NOT NULL,
	"file" uuid NOT NULL,
	"bytes" bigint NOT NULL,
	"etag" text NOT NULL,
	CONSTRAINT "object_upload_parts_pk" PRIMARY KEY("upload_id","number"),
	CONSTRAINT "object_upload_parts_number_check" CHECK ("object_upload_parts"."number" between 1 and 10000)
);
--> statement-breakpoint
CREATE TABLE "object_uploads" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"key" text collate "C" NOT NULL,
	"content_type" text NOT NULL,
	"headers" jsonb NOT NULL,
	"used_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "object_usage" (
	"scope" text PRIMARY KEY NOT NULL,
	"bytes" bigint NOT NULL,
	"files" integer NOT NULL,
	CONSTRAINT "object_usage_check" CHECK ("object_usage"."bytes" >= 0 and "object_usage"."files" >= 0)
);
--> statement-breakpoint
CREATE TABLE "stored_objects" (
	"key" text collate "C" PRIMARY KEY NOT NULL,
	"size" bigint NOT NULL,
	"etag" text NOT NULL,
	"content_type" text NOT NULL,
	"headers" jsonb NOT NULL,
	"files" jsonb NOT NULL,
	"modified_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "stored_objects_key_check" CHECK (octet_length("stored_objects"."key") between 3 and 1024)
);
--> statement-breakpoint
ALTER TABLE "docker_registries" ADD CONSTRAINT "docker_registries_organization_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organizations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "object_upload_parts" ADD CONSTRAINT "object_upload_parts_upload_fk" FOREIGN KEY ("upload_id") REFERENCES "public"."object_uploads"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "docker_registries_organization_index" ON "docker_registries" USING btree ("organization_id","created_at");--> statement-breakpoint
CREATE UNIQUE INDEX "docker_registries_default_unique" ON "docker_registries" USING btree (coalesce("organization_id"::text, "registry_type")) WHERE "docker_registries"."is_default";--> statement-breakpoint
CREATE INDEX "object_files_released_index" ON "object_files" USING btree ("released_at") WHERE "object_files"."released_at" is not null;--> statement-breakpoint
CREATE INDEX "object_uploads_key_index" ON "object_uploads" USING btree ("key");--> statement-breakpoint
CREATE INDEX "object_uploads_used_index" ON "object_uploads" USING btree ("used_at");