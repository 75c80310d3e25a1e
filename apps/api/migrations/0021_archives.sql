CREATE TABLE "sandbox_backup_parts" (
	"backup_id" uuid NOT NULL,
	"number" integer NOT NULL,
	"etag" text NOT NULL,
	"sha256" text NOT NULL,
	CONSTRAINT "sandbox_backup_parts_pk" PRIMARY KEY("backup_id","number"),
	CONSTRAINT "sandbox_backup_parts_sha256_check" CHECK ("sandbox_backup_parts"."sha256" ~ '^[0-9a-f]{64}$')
);
--> statement-breakpoint
ALTER TABLE "sandbox_backups" ADD COLUMN "format" text DEFAULT 'tar' NOT NULL;--> statement-breakpoint
ALTER TABLE "sandbox_backups" ADD COLUMN "upload_id" text;--> statement-breakpoint
ALTER TABLE "sandbox_backups" ADD COLUMN "part_bytes" bigint;--> statement-breakpoint
ALTER TABLE "sandbox_backup_parts" ADD CONSTRAINT "sandbox_backup_parts_backup_fk" FOREIGN KEY ("backup_id") REFERENCES "public"."sandbox_backups"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sandbox_backups" ADD CONSTRAINT "sandbox_backups_format_check" CHECK ("sandbox_backups"."format" in ('tar', 'tar+gzip', 'tar+zstd'));