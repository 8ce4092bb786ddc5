// Schema 7: records of workspaces say what was shipped. Of one that an older version put there only the place is known.

const known = `json_object(
    'guestPath', workspace ->> 'guestPath', 'workdir', workspace ->> 'guestPath',
    'sourcePath', workspace ->> 'sourcePath', 'root', workspace ->> 'sourcePath', 'repoName', 'repo',
    'mode', 'copy', 'includeUntracked', json('false'), 'branch', NULL, 'headCommit', NULL, 'startCommit', NULL,
    'baseTree', NULL, 'metaPath', NULL,
    'preparedAt', workspace ->> 'preparedAt', 'syncedAt', workspace ->> 'preparedAt')`;

export const sql = `
UPDATE vms SET workspace = ${known} WHERE workspace IS NOT NULL;
UPDATE snapshots SET workspace = ${known} WHERE workspace IS NOT NULL;
`;
