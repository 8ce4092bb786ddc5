// JSON lines for the daemon: time, level, message, operation id, fields. Passed in, never global; the operation id
// travels with the asynchronous context so that deep code need not know it.
import { AsyncLocalStorage } from "node:async_hooks";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

const operationId = new AsyncLocalStorage<string>();
const order: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Runs `body` so that every log line and error below it carries the operation id. */
export function withOperation<T>(id: string, body: () => T): T {
  return operationId.run(id, body);
}

/** The operation id of the running context, when there is one. */
export function currentOperation(): string | undefined {
  return operationId.getStore();
}

/** A logger that writes one JSON object for each line at or above `level`. Errors in fields become their messages. */
export function createLogger(level: LogLevel, write: (line: string) => void): Logger {
  const log =
    (lineLevel: LogLevel) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      if (order[lineLevel] < order[level]) return;
      const op = operationId.getStore();
      const line = {
        time: new Date().toISOString(),
        level: lineLevel,
        msg: message,
        ...(op === undefined ? {} : { op }),
        ...fields,
      };
      write(`${JSON.stringify(line, replaceError)}\n`);
    };
  return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
}

/** For code that runs without a daemon (tests, the CLI). */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

function replaceError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return { message: value.message, stack: value.stack, ...("code" in value ? { code: value.code } : {}) };
}
