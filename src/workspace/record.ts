// What a guest keeps of what was shipped into it, in the `metaPath` of its workspace. The guest may have changed any of it.
//
// - `index`: a git index (version 2 or 3) of the files that the last prepare shipped, with their times and sizes, so that unchanged files
//   need not be read. It is for git with core.checkStat=minimal and core.trustctime=false, as the guest's repository has it.
// - `changes`: what was synced since, oldest first, as `git update-index -z --index-info` takes it. May be missing. The index
//   with this applied is the content of `baseTree`.
// - `state`: lines "format <object format>" and "ref <id> <name>", of the branches, tags and detached HEAD that were shipped.

/**
 * Ref in the guest's repository that holds `baseTree`: the tree of exactly the files that were shipped, uncommitted ones included.
 * What the guest changed is the difference between it and the work tree. Absent in mode copy.
 */
export const baseRef = "refs/banger/base";
