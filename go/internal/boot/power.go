package boot

import "golang.org/x/sys/unix"

// PowerOff ends the machine at once: nothing is synced and no process is asked. It returns only when the kernel refuses.
func PowerOff() error {
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
