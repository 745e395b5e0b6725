# The smallest guest that Xen accepts: a paravirtual kernel that halts immediately. It is created paused and never runs; it only has a disk.
  .globl _start
_start:
  hlt

# xen/include/public/elfnote.h: owner "Xen", a number or a text
  .macro note type, value:vararg
  .align 4
  .long 4, 2f - 1f, \type
  .asciz "Xen"
1:\value
2:.align 4
  .endm

  .section .note.Xen, "a", @note
  note 1, .quad _start          # XEN_ELFNOTE_ENTRY
  note 3, .quad 0               # XEN_ELFNOTE_VIRT_BASE
  note 5, .asciz "xen-3.0"      # XEN_ELFNOTE_XEN_VERSION
  note 6, .asciz "none"         # XEN_ELFNOTE_GUEST_OS
  note 8, .asciz "generic"      # XEN_ELFNOTE_LOADER
