// "web.vm" is the VM "web": names of VMs have no dots.
const domain = ".vm";

/** The VM's name, as programs know it that only know host names. */
export function withoutDomain(host: string): string {
  return host.endsWith(domain) ? host.slice(0, -domain.length) : host;
}
