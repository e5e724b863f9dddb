@ What the M core runs from its reset on: waits until the kernel's driver lets it go, then starts the firmware that the
@ kernel has loaded. A reset makes the firmware's memory blank, so firmware that resets itself is not started again, as on
@ an STM32MP1, whose boot is held after the start. DEEP_SLEEP is the address of the word that the driver clears, FIRMWARE that of the vector table.
@ Woken by the system timer once a millisecond to look; spinning would take a processor of the machine below.

    .syntax unified
    .thumb
    .global reset

    .equ SYST_CSR, 0xE000E010       @ control; then reload and current value
    .equ SYST_ENABLED, 0x7          @ counting, interrupt, processor clock
    .equ SYST_RELOAD, 24999         @ a millisecond at 25 MHz
    .equ SCB_ICSR, 0xE000ED04       @ interrupt control; the next word is VTOR
    .equ SCB_CLEAR_TICK, 1 << 25

    .word 0x20010000                @ initial stack, not used
    .word reset + 1

    .thumb_func
reset:
    cpsid   i                       @ the tick ends WFI, but there is no handler for it
    ldr     r0, =SYST_CSR
    ldr     r1, =SYST_RELOAD
    str     r1, [r0, #4]
    str     r1, [r0, #8]
    movs    r1, #SYST_ENABLED
    str     r1, [r0]
    ldr     r2, =SCB_ICSR
    ldr     r3, =SCB_CLEAR_TICK
    ldr     r4, =DEEP_SLEEP
wait:
    wfi
    str     r3, [r2]
    ldr     r5, [r4]
    lsls    r5, r5, #31
    bne     wait
    ldr     r6, =FIRMWARE
    ldrd    r5, r6, [r6]            @ initial stack, first instruction
    cmp     r6, #0
    beq     wait

    movs    r1, #0                  @ as after a reset
    str     r1, [r0]
    str     r3, [r2]
    ldr     r1, =FIRMWARE
    str     r1, [r2, #4]
    dsb
    isb
    cpsie   i
    mov     sp, r5
    bx      r6
    .ltorg
