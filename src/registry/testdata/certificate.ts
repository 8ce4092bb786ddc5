// A self-signed certificate for 127.0.0.1, made anew by openssl.
import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** Writes `key.pem` and `cert.pem` into the directory and returns their paths. */
export function makeCertificate(dir: string): { key: string; cert: string } {
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", "/CN=test registry", "-addext", "subjectAltName=IP:127.0.0.1"],
      ...["-keyout", key, "-out", cert],
    ],
    { stdio: "pipe", timeout: 60_000 },
  );
  return { key, cert };
}
