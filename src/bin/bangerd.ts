// Entry of the daemon. The CLI starts it; nobody has to.
import { runDaemon } from "../daemon/main.ts";

process.title = "bangerd";
void runDaemon();
