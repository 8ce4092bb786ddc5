// How fields of a row become columns of SQLite and back.
import type { SQLInputValue, SQLOutputValue } from "node:sqlite";

export interface Column {
  name: string;
  write(value: never): SQLInputValue;
  read(value: SQLOutputValue): unknown;
}

export const asIs = (name: string): Column => ({
  name,
  write: (value: SQLInputValue) => value,
  read: (value) => value,
});

/** null is kept as NULL. */
export const json = (name: string): Column => ({
  name,
  write: (value: unknown) => (value === null ? null : JSON.stringify(value)),
  read: (value) => (value === null ? null : (JSON.parse(String(value)) as unknown)),
});

export const flag = (name: string): Column => ({
  name,
  write: (value: boolean) => Number(value),
  read: (value) => value === 1,
});

/** The columns of one table, by field. */
export interface Columns<Row> {
  fields: (keyof Row & string)[];
  /** Column names of the fields. */
  names(fields: readonly (keyof Row)[]): string[];
  write(fields: readonly (keyof Row)[], row: Partial<Row>): SQLInputValue[];
  read(raw: Record<string, SQLOutputValue>): Row;
}

export function columnsOf<Row>(columns: Record<keyof Row & string, Column>): Columns<Row> {
  const fields = Object.keys(columns) as (keyof Row & string)[];
  const column = (field: keyof Row) => columns[field as keyof Row & string];
  return {
    fields,
    names: (wanted) => wanted.map((field) => column(field).name),
    write: (wanted, row) => wanted.map((field) => column(field).write(row[field] as never)),
    read: (raw) =>
      Object.fromEntries(
        fields.map((field) => [field, column(field).read(raw[column(field).name] ?? null)]),
      ) as unknown as Row,
  };
}
