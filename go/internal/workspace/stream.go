package workspace

// dataReader reads the data of a stream's messages as one stream of bytes.
type dataReader struct {
	// next returns the data of the next message; nil, nil when it has none, io.EOF at the end.
	next func() ([]byte, error)
	rest []byte
}

func (r *dataReader) Read(data []byte) (int, error) {
	for len(r.rest) == 0 {
		rest, err := r.next()
		if err != nil {
			return 0, err
		}
		r.rest = rest
	}
	count := copy(data, r.rest)
	r.rest = r.rest[count:]
	return count, nil
}
