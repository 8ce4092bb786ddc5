// Methods on images. The table of all methods takes them in.
import * as v from "valibot";
import { method } from "./method.ts";
import { catalogEntry, imageRecord } from "./records.ts";

const none = v.strictObject({});
const done = v.object({});
/** Name, tag, digest, id or unambiguous prefix of an id or name. */
const reference = v.pipe(v.string(), v.minLength(1), v.maxLength(1024));
const hostPath = v.pipe(v.string(), v.startsWith("/"), v.maxLength(4096), v.description("absolute path on the host"));

export const imageCatalogEntry = v.object({
  ...catalogEntry.entries,
  /** "packages": built on this machine. "registry": pulled. */
  from: v.picklist(["packages", "registry"]),
  /** Tag that the digest comes from; null for what is built. */
  reference: v.nullable(v.string()),
  /** What is pulled, whatever the tag is by now; null for what is built. */
  digest: v.nullable(v.string()),
  downloadBytes: v.pipe(v.nullable(v.number()), v.description("compressed layers; null when it is not known")),
});

export const imageMethods = {
  "image.list": method({
    kind: "unary",
    summary: "Local images.",
    params: none,
    result: v.object({ images: v.array(imageRecord) }),
  }),
  "image.show": method({
    kind: "unary",
    summary: "One image.",
    params: v.strictObject({ image: reference }),
    result: imageRecord,
  }),
  "image.inspect": method({
    kind: "unary",
    summary: "The manifest and the config that an image was made of, as they were, byte for byte.",
    params: v.strictObject({ image: reference }),
    result: v.object({ manifest: v.string(), config: v.string() }),
  }),
  "image.history": method({
    kind: "unary",
    summary: "How an image was made, the first step first.",
    params: v.strictObject({ image: reference }),
    result: v.object({
      history: v.array(
        v.object({ created: v.string(), createdBy: v.string(), comment: v.string(), emptyLayer: v.boolean() }),
      ),
    }),
  }),
  "image.tag": method({
    kind: "unary",
    summary: "Gives an image one more name; with force it is taken from whoever has it.",
    params: v.strictObject({ image: reference, name: v.string(), force: v.optional(v.boolean()) }),
    result: imageRecord,
  }),
  "image.untag": method({
    kind: "unary",
    summary: "Takes a name away from an image that has others.",
    params: v.strictObject({ name: reference }),
    result: imageRecord,
  }),
  "image.export": method({
    kind: "operation",
    summary: "Writes an image as an OCI image layout: a directory, or a tar of one.",
    params: v.strictObject({
      image: reference,
      path: hostPath,
      /** Default: "tar" when the path ends in .tar, else "directory". */
      format: v.optional(v.picklist(["directory", "tar"])),
    }),
    result: v.object({ path: v.string(), manifest: v.string(), bytes: v.number(), original: v.boolean() }),
  }),
  "image.register": method({
    kind: "operation",
    summary: "Makes an image of an ext4 file, which stays where it is, or of a directory tree, which is copied.",
    params: v.strictObject({ path: hostPath, name: v.string(), force: v.optional(v.boolean()) }),
    result: imageRecord,
  }),
  "image.promote": method({
    kind: "operation",
    summary: "Copies the file of a registered image into banger's own store.",
    params: v.strictObject({ image: reference }),
    result: imageRecord,
  }),
  "image.cache.list": method({
    kind: "unary",
    summary: "Blobs of pulled images, the largest first.",
    params: none,
    result: v.object({
      directory: v.string(),
      blobs: v.array(
        v.object({
          digest: v.string(),
          sizeBytes: v.number(),
          /** False: a download that was interrupted, which the next pull goes on with. */
          complete: v.boolean(),
          inUse: v.boolean(),
        }),
      ),
    }),
  }),
  "image.cache.verify": method({
    kind: "operation",
    summary: "Reads every blob of the cache again and removes those that are damaged.",
    params: none,
    result: v.object({ blobs: v.number(), bytes: v.number(), bad: v.array(v.string()) }),
  }),
  "image.cache.prune": method({
    kind: "unary",
    summary: "Removes every blob that no running pull reads.",
    params: v.strictObject({ dryRun: v.optional(v.boolean()) }),
    result: v.object({ directory: v.string(), blobs: v.number(), bytes: v.number() }),
  }),
  "image.delete": method({
    kind: "unary",
    summary: "Removes an image; refused while a VM uses it.",
    params: v.strictObject({ image: reference }),
    result: done,
  }),
  "image.import": method({
    kind: "operation",
    summary:
      "Makes an image from an OCI image layout, an archive of images, the tar of a root file system, or the store of docker or podman.",
    params: v.strictObject({
      /** A directory or file. Absent: `engine` and `reference` say what is imported. */
      path: v.optional(hostPath),
      engine: v.optional(v.picklist(["docker", "podman"])),
      /** Default: what the archive calls the image, else made of the file's name. */
      name: v.optional(v.string()),
      /** Which image of an archive that has several, or of the engine. */
      reference: v.optional(reference),
      /** "linux/arm64". Default: this host's. */
      platform: v.optional(v.string()),
      force: v.optional(v.boolean()),
      /** What the file is called in messages and in the record. */
      shown: v.optional(v.string()),
    }),
    result: imageRecord,
  }),
  "image.pull": method({
    kind: "operation",
    summary: "Makes an image of what a registry has, or of an entry of the catalog.",
    params: v.strictObject({
      /** A name of the catalog, or a reference: "alpine:3.20", "ghcr.io/owner/app@sha256:…". */
      name: v.pipe(v.string(), v.minLength(1), v.maxLength(1024)),
      /** Makes the image again although it is there. */
      force: v.optional(v.boolean()),
      /** "linux/arm64". Default: this host's. */
      platform: v.optional(v.string()),
      /**
       * Plain HTTP and any certificate are fine. Default: when they were at the last pull of this reference, else plain HTTP with this
       * machine only.
       */
      insecure: v.optional(v.boolean()),
    }),
    result: v.object({
      ...imageRecord.entries,
      pulled: v.optional(
        v.object({
          outcome: v.pipe(
            v.picklist(["made", "present", "rebuilt"]),
            v.description(
              "present: it was there; rebuilt: it was there, and its disk was made again of the same content",
            ),
          ),
          insecure: v.pipe(v.boolean(), v.description("plain HTTP and any certificate were allowed")),
        }),
      ),
    }),
  }),
  "image.catalog": method({
    kind: "unary",
    summary: "Images that can be pulled by a short name.",
    params: none,
    result: v.object({ entries: v.array(imageCatalogEntry) }),
  }),
} as const;
