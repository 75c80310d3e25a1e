import { pgTable, text } from 'drizzle-orm/pg-core'

/** A table without migration, which the guard of the migrations must notice. */
export const planted = pgTable('planted', { id: text('id').primaryKey() })
