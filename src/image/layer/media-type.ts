// Which media types are those of layers. Only that: how a layer is compressed is told by its first bytes.
import { BangerError } from "../../lib/errors.ts";
import { shownPath } from "./path.ts";

const known = [
  /^application\/vnd\.oci\.image\.layer\.(v1|nondistributable\.v1)\.tar(\+gzip|\+zstd)?$/,
  /^application\/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd|\.zst)?$/,
];

/** Throws `image.invalid` when a layer's media type is not that of a tar of files. */
export function checkLayerType(mediaType: string, label: string): void {
  if (known.some((pattern) => pattern.test(mediaType))) return;
  throw new BangerError("image.invalid", `layer "${label}" is of the unknown type ${shownPath(mediaType)}`);
}
