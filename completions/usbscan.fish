# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_usbscan_global_optspecs
    string join \n socket= virtual= json v/verbose h/help V/version
end

function __fish_usbscan_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_usbscan_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_usbscan_using_subcommand
    set -l cmd (__fish_usbscan_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c usbscan -n "__fish_usbscan_needs_command" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_needs_command" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_needs_command" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_needs_command" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c usbscan -n "__fish_usbscan_needs_command" -s V -l version -d 'Print version'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "list" -d 'List the scanners'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "status" -d 'Show what a scanner is doing, for whom, and what is pending'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "options" -d 'Show what can be set for a scan, and the values it may have'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "scan" -d 'Scan a page, or all that lie in the feeder, to files or to standard output'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "cancel" -d 'Cancel what is pending on a scanner, and bring it back to idle'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "wait-event" -d 'Wait for a button to be pressed, and print the packet that tells of it'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "watch" -d 'Print what happens at the scanners, as it happens: plugging, buttons, cancels'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "capture" -d 'Record what goes over a scanner\'s pipes, whoever uses it, in a file for Wireshark'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "actions" -d 'Run the commands that the configuration has for buttons, as usbscan-actions.service does'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "reset" -d 'Reset a pipe, or the whole device, after everything pending was cancelled'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "doctor" -d 'Look at all that scanning needs on this machine, and say how to mend what is wrong'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "raw" -d 'Move bytes to and from a scanner, for those who debug one'
complete -c usbscan -n "__fish_usbscan_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c usbscan -n "__fish_usbscan_using_subcommand list" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand list" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand list" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand list" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand list" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand status" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand status" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand status" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand status" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand status" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand options" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand options" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand options" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand options" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand options" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -s r -l resolution -d 'Dots per inch; if left out, what `usbscan options` shows' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l mode -d 'What to keep of the colours' -r -f -a "color\t'Red, green and blue'
gray\t'Shades of gray'
lineart\t'Black and white'"
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l depth -d 'Bits a sample' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l area -d 'What to scan of the glass: A4, A5, A6, letter, or left, top, width and height in mm; all of it if left out' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l source -d 'Where the pages lie; a feeder is scanned until it is empty' -r -f -a "flatbed\t'On the glass'
adf\t'In the document feeder; their fronts'
adf-duplex\t'In the document feeder; front and back of each'
transparency\t'Film or slides, on the glass, with the lamp above them'"
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l pages -d 'Scan so many pages at most' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l set -d 'Set any other option of the scanner, see `usbscan options`; may be given several times' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l format -d 'The format of the file; else the ending of its name says, and standard output gets PNG' -r -f -a "png\t'Compressed without loss; records the resolution'
pnm\t'PBM, PGM or PPM, as the mode needs; no compression'
tiff\t'Any number of pages, compressed without loss; records the resolution'
jpeg\t'Small, by giving up some likeness; 8 bits a sample only; records the resolution'
pdf\t'Any number of pages, of the size they had on paper; JPEG inside where that can be'"
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l quality -d 'How alike to the page JPEG has to be, alone or inside a PDF, from 1 to 100; 85 if left out. lossless: no JPEG in a PDF' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -s o -l output -d 'Where to write; - is standard output, the default unless that is a terminal. All pages go to one PDF or TIFF; a number in the name, as in page-%03d.png, makes it a file a page' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l batch -d 'Scan page after page: from the glass, asking on the terminal for the next one'
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l keep-partial -d 'Keep what came of a page that was cancelled or failed; what is missing is white. A PDF or TIFF is kept with it and the pages before it, and is else not written at all'
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c usbscan -n "__fish_usbscan_using_subcommand cancel" -l pipe -d 'Only what is pending on this pipe; all: on every pipe, and the scanner is left where it is' -r -f -a "event\t'Interrupt'
read\t'Bulk in'
write\t'Bulk out'
all\t'Every one'"
complete -c usbscan -n "__fish_usbscan_using_subcommand cancel" -l request -d 'Only this request, as `usbscan status` numbers it' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand cancel" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand cancel" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand cancel" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand cancel" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c usbscan -n "__fish_usbscan_using_subcommand wait-event" -l timeout -d 'How long to wait, in seconds; else for ever' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand wait-event" -l event-index -d 'Index of the endpoint that tells of events, as `usbscan raw pipes` has it; else the highest-numbered one' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand wait-event" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand wait-event" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand wait-event" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand wait-event" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand wait-event" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand watch" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand watch" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand watch" -l no-buttons -d 'Leave the scanners alone: watching buttons keeps a scanner open, and so from programs that don\'t use usbscand'
complete -c usbscan -n "__fish_usbscan_using_subcommand watch" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand watch" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand watch" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand capture" -s o -l output -d 'Where to, in pcapng, readable only by you; - is standard output' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand capture" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand capture" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand capture" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand capture" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand capture" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand actions" -l config -d 'Read this configuration' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand actions" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand actions" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand actions" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand actions" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand actions" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand reset" -l pipe -d 'Reset this pipe only: cancel what is pending on it, clear its halt, throw surplus bytes away [default: all]' -r -f -a "event\t'Interrupt'
read\t'Bulk in'
write\t'Bulk out'
all\t'Every one'"
complete -c usbscan -n "__fish_usbscan_using_subcommand reset" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand reset" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand reset" -l device -d 'Reset the USB port, as if the scanner was plugged in anew'
complete -c usbscan -n "__fish_usbscan_using_subcommand reset" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand reset" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c usbscan -n "__fish_usbscan_using_subcommand doctor" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand doctor" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand doctor" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand doctor" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -f -a "pipes" -d 'List the endpoints of the scanner, with the indexes that choose among them'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -f -a "read" -d 'Read from the bulk-in pipe to standard output'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -f -a "write" -d 'Write to the bulk-out pipe'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -f -a "control" -d 'Send a control request; what comes back goes to standard output'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and not __fish_seen_subcommand_from pipes read write control help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from pipes" -l interface -d 'Which of its interfaces, where several are scanners' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from pipes" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from pipes" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from pipes" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from pipes" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from pipes" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -l interface -d 'Which of its interfaces, where several are scanners' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -l timeout -d 'How long the scanner may take, in seconds; 120 if left out' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -s n -l length -d 'How many bytes at most; a short packet ends it sooner' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -l read-index -d 'Index of the endpoint to read from, as `usbscan raw pipes` has it; else the highest-numbered one' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -l dump -d 'Print bytes as hex digits'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from read" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l interface -d 'Which of its interfaces, where several are scanners' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l timeout -d 'How long the scanner may take, in seconds; 120 if left out' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l hex -d 'The bytes, as hex digits (spaces are skipped); else standard input, up to 1 MiB' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l then-read -d 'Read so many bytes at most afterwards, in the same session, to standard output' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l write-index -d 'Index of the endpoint to write to, as `usbscan raw pipes` has it; else the highest-numbered one' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l read-index -d 'Index of the endpoint to read from afterwards' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l dump -d 'Print bytes as hex digits'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from write" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l interface -d 'Which of its interfaces, where several are scanners' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l timeout -d 'How long the scanner may take, in seconds; 120 if left out' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l direction -d 'Which way the data goes' -r -f -a "in\t''
out\t''"
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l request -d 'bRequest' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l value -d 'wValue' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l index -d 'wIndex' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l kind -d 'Who defines the request' -r -f -a "vendor\t''
class\t''
standard\t''"
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l recipient -d 'Whom it is for' -r -f -a "device\t''
interface\t''
endpoint\t''"
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -s n -l length -d 'in: how many bytes at most' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l hex -d 'out: the bytes, as hex digits' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l socket -d 'The daemon\'s socket' -r -F
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l virtual -d 'Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times. MODEL is esci if left out; `usbscan --help` lists all' -r
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l dump -d 'Print bytes as hex digits'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -l json -d 'Print JSON, one object, instead of text for people; errors too, on standard error'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -s v -l verbose -d 'Say on standard error what is done; twice, and three times, more of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from control" -s h -l help -d 'Print help'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "pipes" -d 'List the endpoints of the scanner, with the indexes that choose among them'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "read" -d 'Read from the bulk-in pipe to standard output'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "write" -d 'Write to the bulk-out pipe'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "control" -d 'Send a control request; what comes back goes to standard output'
complete -c usbscan -n "__fish_usbscan_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "list" -d 'List the scanners'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "status" -d 'Show what a scanner is doing, for whom, and what is pending'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "options" -d 'Show what can be set for a scan, and the values it may have'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "scan" -d 'Scan a page, or all that lie in the feeder, to files or to standard output'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "cancel" -d 'Cancel what is pending on a scanner, and bring it back to idle'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "wait-event" -d 'Wait for a button to be pressed, and print the packet that tells of it'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "watch" -d 'Print what happens at the scanners, as it happens: plugging, buttons, cancels'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "capture" -d 'Record what goes over a scanner\'s pipes, whoever uses it, in a file for Wireshark'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "actions" -d 'Run the commands that the configuration has for buttons, as usbscan-actions.service does'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "reset" -d 'Reset a pipe, or the whole device, after everything pending was cancelled'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "doctor" -d 'Look at all that scanning needs on this machine, and say how to mend what is wrong'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "raw" -d 'Move bytes to and from a scanner, for those who debug one'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and not __fish_seen_subcommand_from list status options scan cancel wait-event watch capture actions reset doctor raw help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "pipes" -d 'List the endpoints of the scanner, with the indexes that choose among them'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "read" -d 'Read from the bulk-in pipe to standard output'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "write" -d 'Write to the bulk-out pipe'
complete -c usbscan -n "__fish_usbscan_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "control" -d 'Send a control request; what comes back goes to standard output'
