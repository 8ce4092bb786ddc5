// Media types of the documents and layers of images, as OCI and Docker name them.

export const mediaTypes = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
} as const;

const indexTypes: ReadonlySet<string> = new Set([mediaTypes.ociIndex, mediaTypes.dockerIndex]);
const manifestTypes: ReadonlySet<string> = new Set([mediaTypes.ociManifest, mediaTypes.dockerManifest]);
const configTypes: ReadonlySet<string> = new Set([
  mediaTypes.ociConfig,
  "application/vnd.docker.container.image.v1+json",
]);
const layerPattern =
  /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.diff\.tar(?:\.(?:gzip|zstd))?)$/;
const foreignPattern = /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)/;

/** A list of manifests, one for each platform. */
export function isIndexType(mediaType: string): boolean {
  return indexTypes.has(mediaType);
}

export function isManifestType(mediaType: string): boolean {
  return manifestTypes.has(mediaType);
}

/** False for artifacts that are no images: signatures, charts and the like. */
export function isConfigType(mediaType: string): boolean {
  return configTypes.has(mediaType);
}

/** A layer that can be unpacked. How it is compressed is told by its first bytes, not by this. */
export function isLayerType(mediaType: string): boolean {
  return layerPattern.test(mediaType);
}

/** A layer that is not in the registry but at some URL. */
export function isForeignLayerType(mediaType: string): boolean {
  return foreignPattern.test(mediaType);
}
