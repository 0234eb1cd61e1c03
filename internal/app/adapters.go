package app

import (
	"nagare/producers"
	"nagare/producers/datadog"
	"nagare/producers/flowlog"
	"nagare/producers/github"
	"nagare/producers/mail"
	"nagare/producers/upload"
)

// adapters turn what is not JSON into JSON; everything else is a mapping file.
// To add one, write its folder and its line here.
var adapters = map[string]producers.Adapter{
	"datadog":   datadog.Adapter(),
	"github":    github.Adapter(),
	"mail":      mail.Adapter(),
	"directory": upload.Adapter(),
	"devices":   upload.Adapter(),
	"csv":       upload.Adapter(),
	"vpcflow":   flowlog.Adapter(flowlog.Config{}),
}
