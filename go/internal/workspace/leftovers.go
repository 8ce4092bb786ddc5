package workspace

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// leftovers lists what of a workspace was not shipped and is to be moved over to what takes its place, a directory as a whole where it
// can be: what was built, installed and ignored stays. `lost` is what has another content there.
func leftovers(ctx context.Context, workspace, staging string, record *shipped) (kept, lost []string, err error) {
	old, err := os.OpenRoot(workspace)
	if err != nil {
		return nil, nil, err
	}
	defer old.Close()
	next, err := os.OpenRoot(staging)
	if err != nil {
		return nil, nil, err
	}
	defer next.Close()
	directories := record.directories()
	var walk func(directory string) error
	walk = func(directory string) error {
		entries, err := fs.ReadDir(old.FS(), directory)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			name := filepath.Join(directory, entry.Name())
			if name == ".git" {
				continue
			}
			if _, ok := record.files[name]; ok && !entry.IsDir() {
				continue
			}
			there, err := next.Lstat(name)
			switch {
			case err != nil && !isMissing(err) && !escapes(err):
				return err
			case entry.IsDir() && (err == nil && there.IsDir() || directories[name]):
				// Shipped files below it stay behind, one by one.
				if err := walk(name); err != nil {
					return err
				}
			case err != nil && missingParent(next, name):
				// What is in its place above is no directory any more.
				lost = append(lost, name)
			case err != nil:
				kept = append(kept, name)
			default:
				same, err := sameFile(old, next, name, record.idBytes)
				if err != nil {
					return err
				}
				if !same {
					lost = append(lost, name)
				}
			}
		}
		return nil
	}
	err = walk(".")
	return kept, lost, err
}

// directories returns those that shipped files lie in.
func (s *shipped) directories() map[string]bool {
	found := map[string]bool{}
	for name := range s.files {
		for at := filepath.Dir(name); at != "." && !found[at]; at = filepath.Dir(at) {
			found[at] = true
		}
	}
	return found
}

func missingParent(root *os.Root, name string) bool {
	for at := filepath.Dir(name); at != "."; at = filepath.Dir(at) {
		if info, err := root.Lstat(at); err == nil {
			return !info.IsDir()
		}
	}
	return false
}

func sameFile(one, other *os.Root, name string, idBytes int) (bool, error) {
	first, err := stateOf(one, name, idBytes)
	if err != nil {
		return false, err
	}
	second, err := stateOf(other, name, idBytes)
	return err == nil && first.is(second), err
}

// carry moves what is kept from the old workspace into the new one.
func carry(old, workspace string, kept []string) error {
	var failures []error
	for _, name := range kept {
		target := filepath.Join(workspace, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			failures = append(failures, err)
			continue
		}
		if err := os.Rename(filepath.Join(old, name), target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}
