package secrets

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"
)

const (
	// Certificates of hosts are made when they are needed, and again before they end. Clocks of guests may be behind.
	goodFor       = 24 * time.Hour
	behind        = 24 * time.Hour
	maxRemembered = 256
)

// Authority signs certificates that the guest trusts. Safe for use by many.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	leafKey     *ecdsa.PrivateKey

	mu    sync.Mutex
	known map[string]*tls.Certificate
}

// NewAuthority reads certificate and key, PEM.
func NewAuthority(certificatePEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, errors.New("the certificate authority has no certificate and key that fit each other")
	}
	certificate, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("the certificate authority: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !certificate.IsCA {
		return nil, errors.New("the certificate authority's certificate is not one of an authority")
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Authority{certificate: certificate, key: key, leafKey: leafKey, known: map[string]*tls.Certificate{}}, nil
}

// Certificate for a host name.
func (a *Authority) Certificate(name string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.known[name]; known != nil && time.Until(known.Leaf.NotAfter) > time.Hour {
		return known, nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: []string{name}, NotBefore: now.Add(-behind), NotAfter: now.Add(goodFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Subject: pkix.Name{Organization: []string{"banger"}},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &a.leafKey.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	if len(a.known) >= maxRemembered {
		clear(a.known)
	}
	made := &tls.Certificate{Certificate: [][]byte{raw, a.certificate.Raw}, PrivateKey: a.leafKey, Leaf: leaf}
	a.known[name] = made
	return made, nil
}
