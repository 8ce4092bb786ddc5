// The HTTP status that goes with an error code: for curl and proxies; clients of ours read the code.
import type { ErrorCode } from "../lib/errors.ts";

const byCode: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  cancelled: 499,
  timeout: 504,
  "daemon.outdated": 409,
  "daemon.busy": 409,
  "daemon.shutting-down": 503,
  "request.invalid": 400,
  "request.unknown-method": 404,
  "request.too-large": 413,
  "vm.ambiguous": 409,
  "vm.name-taken": 409,
  "vm.name-invalid": 400,
  "vm.spec-invalid": 400,
  "vm.wrong-state": 409,
  "image.ambiguous": 409,
  "guest.unreachable": 502,
  "guest.protocol": 502,
  "guest.failed": 502,
  "disk.full": 507,
  "host.open-files": 503,
};

const bySuffix: Record<string, number> = {
  "not-found": 404,
  exists: 409,
  "in-use": 409,
  invalid: 400,
  "not-a-repository": 400,
};

/** 500 for whatever is nobody's mistake. */
export function httpStatus(code: ErrorCode): number {
  return byCode[code] ?? bySuffix[code.slice(code.indexOf(".") + 1)] ?? 500;
}
