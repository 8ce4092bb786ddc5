package sshd

import "strings"

// splitWords splits a command as a shell splits plain words: at blanks, with '…', "…" and backslash. Nothing is expanded:
// it serves images that have no shell.
func splitWords(text string) []string {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	escaped := false
	for _, character := range text {
		switch {
		case escaped:
			word.WriteRune(character)
			escaped = false
		case character == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && character == quote:
			quote = 0
		case quote == 0 && (character == '\'' || character == '"'):
			quote, inWord = character, true
		case quote == 0 && strings.ContainsRune(" \t\n", character):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(character)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
