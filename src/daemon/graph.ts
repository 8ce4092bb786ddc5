// TEMP
import type { PartsOptions } from "./main.ts";
import type { Services } from "./services.ts";
export async function openServices(_options: PartsOptions): Promise<Services> {
  throw new Error("not yet");
}
