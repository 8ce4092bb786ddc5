// Where an image store of a test has its files: all below one directory of the test's own.
import { join } from "node:path";
import type { ImageStoreOptions } from "../store.ts";

export function storePaths(root: string): ImageStoreOptions["paths"] {
  return {
    imagesDir: join(root, "images"),
    imageTagsFile: join(root, "image-tags.json"),
    insecureImagesFile: join(root, "insecure-images.json"),
    imageExportsDir: join(root, "image-exports"),
    cacheDir: join(root, "cache"),
    blobsDir: join(root, "cache/blobs"),
  };
}
