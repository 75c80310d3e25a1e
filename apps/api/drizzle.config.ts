import { defineConfig } from 'drizzle-kit'

/** `drizzle-kit generate` compares the tables with the last snapshot; it needs no database. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './src/**/*-table.ts',
  out: './migrations',
})
