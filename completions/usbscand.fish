complete -c usbscand -l socket -d 'Listen here, whatever the configuration says' -r -F
complete -c usbscand -l virtual -d 'Serve a virtual scanner as well; may be given several times' -r
complete -c usbscand -l config -d 'Read this configuration' -r -F
complete -c usbscand -l no-usb -d 'Leave this machine\'s USB alone'
complete -c usbscand -l check-config -d 'Read the configuration, say what is wrong with it, and start nothing'
complete -c usbscand -s v -l verbose -d 'Log more; twice, still more. RUST_LOG, where it is set, decides instead'
complete -c usbscand -s h -l help -d 'Print help (see more with \'--help\')'
complete -c usbscand -s V -l version -d 'Print version'
