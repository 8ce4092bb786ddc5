package files

// chunkWriter is an io.Writer that passes on pieces of at most chunkBytes.
type chunkWriter func(data []byte) error

func (send chunkWriter) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		count := min(len(rest), chunkBytes)
		if err := send(rest[:count]); err != nil {
			return len(data) - len(rest), err
		}
		rest = rest[count:]
	}
	return len(data), nil
}
