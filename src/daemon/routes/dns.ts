// Names of VMs: how they are answered, and how this host's resolver gets to know.
import { BangerError } from "../../lib/errors.ts";
import type { RoutesOf } from "../handler.ts";
import type { RouteContext } from "./context.ts";

export function dnsRoutes({ dns, paths }: RouteContext): RoutesOf<"dns.status" | "dns.setup"> {
  return {
    "dns.status": () => dns.status(),
    "dns.setup": async ({ resolver, apply = false }, { signal }) => {
      if (dns.port === 0) {
        throw new BangerError(
          "config.invalid",
          `names of VMs are switched off: port = 0 below [dns] in ${paths.configFile}`,
          {
            hint: `$EDITOR ${paths.configFile}  # then: banger daemon stop`,
          },
        );
      }
      // Seldom used: not loaded with the daemon.
      const [{ detectResolver, recipeFor }, { applyRecipe, systemdVersion }] = await Promise.all([
        import("../dns/recipe.ts"),
        import("../dns/apply.ts"),
      ]);
      const recipe = recipeFor(resolver ?? detectResolver(), dns.port, await systemdVersion({ signal }));
      if (apply) await applyRecipe(recipe, { signal });
      return { ...recipe, applied: apply };
    },
  };
}
