// Whether the program that runs in guests was built.
import { agentFile } from "../agent-file.ts";
import { pass, type DoctorCheck } from "./check.ts";

export const guestAgent: DoctorCheck = {
  name: "guest agent",
  run: () => pass(agentFile(process.arch === "arm64" ? "arm64" : "amd64")),
};
